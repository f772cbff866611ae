"""Runs sweeps in processes of their own that are killed while they write, or that share a file.

`PROGRAM`, given a folder, makes the sweeps `whole`, `killed` and `shared` there. Each runs in a fork of its process,
which computes nothing itself.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path

from probes.sweep.executors.here import Here
from probes.sweep.plan_file import plan_from_toml
from probes.sweep.sweep import run_sweep
from tests.support.tiny import byte_tokenizer, save, tiny

PROGRAM = """
import json, sys
from pathlib import Path
from tests.support.killed_sweeps import main
print(json.dumps(main(Path(sys.argv[1]))))
"""
KILLS = 20
_QUESTIONS = [{"question": f"Which is {n}?", "choices": ["one", "two", "three"], "answer": n} for n in range(3)]
_PASSAGES = [
    {"query": f"word {n}", "positive": f"A text on {n}.", "documents": [f"A text on {m}." for m in range(3)]}
    for n in range(3)
]
_PROMPTS = [{"prompt": f"Count to {n}:", "target": str(n)} for n in range(3)]
_PLAN = """
settings = ["magnitude:0.5", "drop-attn:1"]
dense = "dense"
tasks = ["choose.jsonl", "find.jsonl", "say.jsonl"]

[[prompts]]
prompt = "Once"
raw = true
steps = 4
sampling = {temperature = 0.7, seed = 3}

[load]
threads = 1

[calibration]
samples = 2
length = 8

[options]
new_tokens = 3
"""
CELLS = 8


def sweep(name: str) -> None:
    """Runs the plan to its end, as far as it is not in the file."""
    workers = Here()
    for _ in run_sweep(plan_from_toml(_PLAN), Path(f"{name}.jsonl"), workers):
        pass


def killing(after: int) -> None:
    """Kills this process as soon as it has written so many bytes, in the middle of a write."""
    plain = os.write
    left = after

    def write(handle: int, data: bytes) -> int:
        nonlocal left
        if len(data) >= left:
            plain(handle, memoryview(data)[:left])
            os.kill(os.getpid(), signal.SIGKILL)
        left -= len(data)
        return plain(handle, data)

    vars(os)["write"] = write


def forked(work: Callable[[], None]) -> int:
    """Runs the work in a fork; returns its process."""
    process = os.fork()
    if process:
        return process
    try:
        work()
    except BaseException as problem:  # noqa: BLE001 - the fork must never return
        sys.stderr.write(f"{problem!r}\n")
        os._exit(1)
    os._exit(0)


def ended(process: int) -> int:
    """The exit code of a fork; that of a signal is negative."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def _sweep_killed(after: int) -> None:
    killing(after)
    sweep("killed")


def appended(name: str) -> int:
    """Bytes that a sweep has written line by line: its own file, and the results files of its cells."""
    contents = [path.read_bytes() for path in (Path(f"{name}.jsonl"), *Path(f"{name}.cells").glob("*.jsonl"))]
    return sum(len(one) for one in contents if one.startswith((b'{"kind":"sweep"', b'{"kind":"results"')))


def main(folder: Path) -> dict[str, object]:
    folder.mkdir(exist_ok=True)
    os.chdir(folder)
    for name, rows in (("choose", _QUESTIONS), ("find", _PASSAGES), ("say", _PROMPTS)):
        Path(f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def make() -> None:
        tokenizer = byte_tokenizer()
        save(Path("dense"), tiny("llama", vocab_size=len(tokenizer)), tokenizer)

    assert ended(forked(make)) == 0
    assert ended(forked(lambda: sweep("whole"))) == 0
    moments = sorted(random.Random(0).sample(range(1, appended("whole")), KILLS))
    gaps = [later - earlier for earlier, later in pairwise((0, *moments))]
    killed = [ended(forked(partial(_sweep_killed, after))) for after in gaps]
    killed.append(ended(forked(lambda: sweep("killed"))))
    both = [forked(lambda: sweep("shared")) for _ in range(2)]
    return {"killed": killed, "shared": [ended(process) for process in both]}
