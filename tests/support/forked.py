"""Python programs that begin as forks of one process which has imported everything slow.

Each is a process of its own, with its own streams, folder, environment and end, as `python -c` is: it begins in some
hundredths of a second instead of seconds. Programs that are about imports, or about settings that a library reads when
it is imported, begin as `python -c` instead.
"""

from __future__ import annotations

import atexit
import fcntl
import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, NoReturn, Self

ROOT = Path(__file__).parents[2]
Stream = int | IO[bytes] | None
_LONGEST = 1 << 20
_MOST = 8
"""Files that are handed over at once."""
_ABOVE = 1000
"""No program's files have numbers as high."""
_SERVER = """
import socket, sys
from tests.support.forked import begun, end_of
sys.argv[0], own = "-c", int(sys.argv[1])
exec(sys.argv[2])
end_of(begun(own))
"""
_WITH_TORCH = """
import torch, transformers, transformers.conversion_mapping
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast
import explorer.cli.main, probes.models.loaded, probes.sweep.executors.here
transformers.conversion_mapping.get_checkpoint_conversion_mapping("llama")
"""
_WITHOUT_TORCH = """
sys.modules["torch"] = sys.modules["transformers"] = None
import explorer.cli.main
"""


def begun(own: int) -> str:
    """Forks for each program that is asked for on this socket. Returns, in the fork, what that is to run. This
    process ends when nobody can ask any more."""
    gc.freeze()
    reports = dict[int, int]()
    woken, wake = os.pipe()
    for one in (woken, wake):
        os.set_blocking(one, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with socket.socket(fileno=own) as asked:
        while True:
            if asked not in select.select([asked, woken], [], [])[0]:
                os.read(woken, _LONGEST)
                while ended := _ended(os.WNOHANG):
                    _told(reports.pop(ended[0]), ended[1])
                continue
            said, given, *_ = socket.recv_fds(asked, _LONGEST, _MOST)
            if not said:
                while reports and (ended := _ended(0)):
                    reports.pop(ended[0])
                os._exit(0)
            program = os.fork()
            if not program:
                break
            *streams, reports[program] = given
            os.write(reports[program], program.to_bytes(8, "little"))
            for one in streams:
                os.close(one)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for one in (*reports.values(), woken, wake, given.pop()):
        os.close(one)
    wanted = json.loads(said)
    above = [fcntl.fcntl(one, fcntl.F_DUPFD, _ABOVE) for one in given]
    for number, one, other in zip((0, 1, 2, *wanted["kept"]), above, given, strict=True):
        os.close(other)
        os.dup2(one, number)
        os.close(one)
    return _become(wanted)


def _ended(how: int) -> tuple[int, int] | None:
    """A program that has ended, and how."""
    try:
        found = os.waitpid(-1, how)
    except ChildProcessError:
        return None
    return found if found[0] else None


def _told(report: int, status: int) -> None:
    with suppress(BrokenPipeError):
        os.write(report, status.to_bytes(8, "little"))
    os.close(report)


def end_of(program: str) -> NoReturn:
    """Runs a program to its end. What Python would take down one by one goes with the process."""
    code = 0
    try:
        exec(compile(program, "<string>", "exec"), {"__name__": "__main__"})
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1 if end.code else 0
        if code != end.code and end.code:
            sys.stderr.write(f"{end.code}\n")
    except BaseException:  # noqa: BLE001 - as Python ends
        sys.excepthook(*sys.exc_info())
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def _become(asked: dict[str, Any]) -> str:
    """Takes on the arguments, the folder, the environment and the streams that a program was given."""
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    sys.argv[1:] = asked["arguments"]
    encoding = os.environ.get("PYTHONIOENCODING", "utf-8")
    sys.stdin = sys.__stdin__ = os.fdopen(0, encoding=encoding, closefd=False)  # type: ignore[misc]
    sys.stdout = sys.__stdout__ = os.fdopen(1, "w", encoding=encoding, closefd=False)  # type: ignore[misc]
    errors = os.fdopen(2, "w", 1, encoding, "backslashreplace", closefd=False)
    sys.stderr = sys.__stderr__ = errors  # type: ignore[misc]
    if library := sys.modules.get("transformers"):  # it has read how much to say when it was imported
        library.utils.logging.set_verbosity(library.utils.logging._get_default_logging_level())
    return str(asked["program"])


@dataclass(eq=False)
class Program:
    """One that runs: what is used of `subprocess.Popen`."""

    pid: int
    _report: int
    stdin: IO[bytes] | None
    stdout: IO[bytes] | None
    stderr: IO[bytes] | None
    returncode: int | None = None

    def poll(self) -> int | None:
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            if not select.select([self._report], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
            self.returncode = os.waitstatus_to_exitcode(_number(self._report))
            os.close(self._report)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for one in (self.stdin, self.stdout, self.stderr):
            if one:
                one.close()
        self.wait()


class Forks:
    """Programs that begin where others have imported so much."""

    def __init__(self, imported: str) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._asking = ours
        with theirs:
            command = [sys.executable, "-c", _SERVER, str(theirs.fileno()), imported]
            environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
            self._server = subprocess.Popen(command, env=environment, pass_fds=[theirs.fileno()])
        atexit.register(self._end)

    def _end(self) -> None:
        self._asking.close()
        self._server.wait()

    def start(
        self,
        program: str,
        *arguments: object,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        stdin: Stream = None,
        stdout: Stream = None,
        stderr: Stream = None,
        pass_fds: Sequence[int] = (),
    ) -> Program:
        """Begins a program, with the streams of this process unless others are given."""
        asked = {
            "program": program,
            "arguments": [str(one) for one in arguments],
            "folder": str(cwd or Path.cwd()),
            "environment": dict(os.environ if env is None else env),
            "kept": list(pass_fds),
        }
        pipes: list[IO[bytes] | None] = []
        given, shut = list[int](), list[int]()
        for number, stream in enumerate((stdin, stdout, stderr)):
            ours = None
            if stream == subprocess.PIPE:
                theirs, mine = os.pipe() if number == 0 else reversed(os.pipe())
                ours, stream = os.fdopen(mine, "wb" if number == 0 else "rb"), theirs
                shut.append(theirs)
            elif stream == subprocess.DEVNULL:
                stream = os.open(os.devnull, os.O_RDWR)
                shut.append(stream)
            elif stream == subprocess.STDOUT:
                stream = given[1]
            pipes.append(ours)
            given.append(number if stream is None else stream if isinstance(stream, int) else stream.fileno())
        report, told = os.pipe()
        socket.send_fds(self._asking, [json.dumps(asked).encode()], [*given, *pass_fds, told])
        for one in (*shut, told):
            os.close(one)
        ours_in, ours_out, ours_err = pipes
        return Program(_number(report), report, ours_in, ours_out, ours_err)

    def run(
        self,
        program: str,
        *arguments: object,
        input: bytes = b"",  # noqa: A002 - as subprocess.run names it
        timeout: float = 300,
        stdout: Stream = None,
        stderr: Stream = None,
        **options: Any,
    ) -> subprocess.CompletedProcess[bytes]:
        """A program's end, with what it printed where no other stream was given."""
        with TemporaryFile() as given, TemporaryFile() as out, TemporaryFile() as err:
            given.write(input)
            given.seek(0)
            ours = [one for one, other in ((out, stdout), (err, stderr)) if other is None]
            running = self.start(
                program, *arguments, stdin=given, stdout=stdout or out, stderr=stderr or err, **options
            )
            try:
                code = running.wait(timeout)
            except subprocess.TimeoutExpired:
                running.kill()
                raise
            for one in ours:
                one.seek(0)
            found = [one.read() if one in ours else b"" for one in (out, err)]
        return subprocess.CompletedProcess([program, *map(str, arguments)], code, *found)


def _number(report: int) -> int:
    return int.from_bytes(os.read(report, 8), "little")


@cache
def with_torch() -> Forks:
    """Torch, transformers and the command line are imported."""
    return Forks(_WITH_TORCH)


@cache
def without_torch() -> Forks:
    """As on a machine that has no torch; the command line is imported."""
    return Forks(_WITHOUT_TORCH)
