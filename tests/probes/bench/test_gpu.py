"""The benchmark of a GPU: its checks on the CPU, on a machine with torch and transformers alone, and without a GPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch

from probes.bench import gpu, gpu_checks
from probes.bench.bandwidth import measure_bandwidth
from probes.bench.gpu import GpuPlan, bench_gpu, gpu_device, gpu_plan, main
from probes.bench.gpu_checks import CHECKS, ONCE, exact_copy, thinned
from probes.bench.gpu_ratios import gpu_cost
from probes.bench.guarded import NotHere, guarded
from probes.bench.random_models import Shape, random_model
from probes.bench.static_decoder import StaticDecoder
from probes.schema.errors import BadInput, Failure
from probes.stepping.cached_model import CachedModel
from tests.support.stepping import PROMPT, damaged
from tests.support.tiny import tiny

SHAPE = Shape(32, 2, 128, 64)
CPU = torch.device("cpu")
EXTRA = ("msgspec", "platformdirs", "psutil", "textual", "rich", "click", "gguf", "accelerate", "phier", "pytest")
"""Packages that a bare machine lacks."""
NEED_CUDA = {"captured graph", "graphed steps", "streams"}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("name", CHECKS)
def test_every_check_passes_or_says_why_it_can_t_be_done_here(name: str, dtype: torch.dtype) -> None:
    model = random_model(SHAPE, dtype=dtype)
    found = guarded(name, "tiny", partial(CHECKS[name], model, PROMPT))
    assert found.status == ("skipped" if name in NEED_CUDA else "passed"), found.words
    assert found.words
    if name == "exact copy":
        assert found.value == 0


@pytest.mark.parametrize("name", ONCE)
def test_checks_of_one_model_pass(name: str) -> None:
    found = guarded(name, "tiny", partial(ONCE[name], random_model(SHAPE), PROMPT))
    assert found.status == "passed", found.words


def test_a_copy_that_is_not_exact_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_checks, "sharing_copy", damaged)
    found = guarded("exact copy", "tiny", partial(exact_copy, random_model(SHAPE), PROMPT))
    assert found.status == "failed"
    assert found.value > 0


def test_a_check_that_raises_is_a_result() -> None:
    def fails():
        raise RuntimeError("CUDA error: an illegal memory access\nCompile with …")

    def absent():
        raise NotHere("accelerate is not installed")

    assert guarded("a", "m", fails).words == "RuntimeError: CUDA error: an illegal memory access"
    assert guarded("a", "m", fails).status == "failed"
    assert guarded("a", "m", absent).status == "skipped"
    assert guarded("a", "m", lambda: (0.3, 0.2, "")).status == "failed"
    assert guarded("a", "m", lambda: (float("nan"), 0.2, "")).status == "failed"
    assert guarded("a", "m", fails, lambda: 0.0).words == "no time was left"


@pytest.mark.parametrize("architecture", ["llama", "qwen3", "gpt2"])
def test_a_static_cache_decodes_what_a_growing_one_does(architecture: str) -> None:
    model = tiny(architecture)
    decoder, cached = StaticDecoder([model], [PROMPT], 8), CachedModel(model)
    for _ in range(2):
        context = list(PROMPT)
        for _ in range(8):
            logits = cached.read([context]).logits
            (token,) = decoder.step()
            assert token == int(logits.argmax())
            torch.testing.assert_close(decoder.logits[0], logits)
            context.append(token)
        decoder.reset()


@pytest.mark.parametrize("architecture", ["mamba", "gemma3"])
def test_a_cache_that_can_t_be_set_back_is_refused(architecture: str) -> None:
    with pytest.raises(Failure, match="can't be set back"):
        StaticDecoder([tiny(architecture)], [PROMPT], 4)


def test_ratios_are_those_of_the_times() -> None:
    model = random_model(SHAPE)
    found = gpu_cost("tiny", model, PROMPT, measure_bandwidth(CPU, size=2**16), steps=2, rounds=1)
    assert found.parameters == sum(one.numel() for one in model.parameters())
    assert (found.graph, found.to_graph, found.memory) == (None, None, None)
    assert found.graph_error == "NotHere: CUDA graphs need a CUDA GPU"
    assert found.static is not None
    assert found.to_bare == found.dense / found.bare
    assert found.to_floor == pytest.approx(found.to_bare * found.bare_to_floor)


def test_a_thinned_copy_shares_what_it_did_not_change() -> None:
    model = random_model(Shape(64, 2, 128))
    other = thinned(model)
    assert other.model.embed_tokens.weight is model.model.embed_tokens.weight
    zeros = (other.model.layers[0].mlp.up_proj.weight == 0).float().mean()
    assert float(zeros) == pytest.approx(0.5, abs=0.03)


def test_a_failure_in_one_model_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def made(shape, **options):
        if options.get("dtype") is torch.bfloat16:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 4 GiB")
        return random_model(shape, **options)

    monkeypatch.setattr(gpu, "random_model", made)
    plan = GpuPlan(SHAPE, (("1B", SHAPE),), None, 100.0, steps=1, rounds=1, read=2**16)
    found = bench_gpu(CPU, plan)
    assert not found.passed
    failed = [(one.name, one.model) for one in found.checks if one.status == "failed"]
    assert failed == [("made", "random small bfloat16"), ("made", "random 1B bfloat16")]
    assert sum(one.status == "passed" for one in found.checks) == 1 + 2 * 4


def test_without_time_nothing_is_begun() -> None:
    found = bench_gpu(CPU, gpu_plan(seconds=0.0, tiny=True))
    assert {one.status for one in found.checks} == {"skipped"}


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_without_a_gpu_it_says_so_and_ends_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    printed = capsys.readouterr()
    assert "finds no cuda GPU on this machine, so nothing was measured" in printed.err
    assert printed.out == ""
    with pytest.raises(BadInput, match="No GPU"):
        gpu_device("cuda:3")
    for name in ("mps", "foo", "cuda:x", ""):
        with pytest.raises(BadInput, match="Use cuda, cuda:N or cpu"):
            gpu_device(name)


def test_a_bare_machine_needs_torch_and_transformers_alone(tmp_path: Path) -> None:
    """The packages of this environment, but for those that a bare machine lacks, are linked into a folder."""
    for folder in {Path(path) for path in sys.path if path.endswith("-packages")}:
        for one in folder.iterdir():
            if not one.name.lower().startswith(EXTRA) and not one.name.endswith(".pth"):
                (tmp_path / one.name).symlink_to(one)
    root = Path(__file__).parents[3]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(root), str(tmp_path)))}
    environment.pop("PHIER_CACHE", None)
    code = (
        "import sys; sys.path = [path for path in sys.path if not path.endswith('-packages')]\n"
        "from probes.bench.gpu import main\nend = main(['--device', 'cpu', '--tiny'])\n"
        f"print(*sorted(set({EXTRA!r}) & set(sys.modules)), file=sys.stderr); sys.exit(end)"
    )
    ended = subprocess.run(
        [sys.executable, "-S", "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    found = json.loads(ended.stdout)
    assert found["replaced"] == ["msgspec"]
    assert ended.stderr.splitlines()[-1] == "msgspec"
    assert found["versions"]["phier"] is None
    assert {one["status"] for one in found["checks"]} == {"passed", "skipped"}
    assert {one["words"] for one in found["checks"] if one["name"] == "device map"} == {"accelerate is not installed"}
    assert {"bare", "dense", "free", "graph", "floor", "to_bare", "to_graph", "to_floor"} <= found["costs"][0].keys()
    assert found["costs"][0]["to_bare"] > 0
