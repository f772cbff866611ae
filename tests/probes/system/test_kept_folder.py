"""What is kept in the cache is there whole or not at all, is made once, and is made anew where it was damaged."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from probes.schema.errors import Cancelled, Failure
from probes.system.cache_folder import locked, recall, remember, sha256, signature_of
from probes.system.kept_folder import evict, intact, keep
from probes.system.progress import Work
from probes.system.subprocesses import run
from probes.system.user_folders import cache_folder

WORK = Work()


class Builder:
    """Fills a folder with two files, and counts how often it is asked to."""

    def __init__(self) -> None:
        self.built = 0

    def __call__(self, part: Path) -> None:
        self.built += 1
        (part / "weights").write_bytes(bytes(range(256)) * 8)
        (part / "config").write_text("{}")


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "kept" / "model"


def whole(folder: Path) -> bool:
    return (folder / "weights").read_bytes() == bytes(range(256)) * 8 and (folder / "config").read_text() == "{}"


def test_a_folder_is_built_once_and_found_after_that(folder):
    build = Builder()
    for _ in range(3):
        assert keep(folder, build, WORK, "building") == folder
        assert whole(folder)
    assert build.built == 1


def cut(folder: Path) -> None:
    with (folder / "weights").open("r+b") as file:
        file.truncate(100)


def remove(folder: Path) -> None:
    (folder / "config").unlink()


def add(folder: Path) -> None:
    (folder / "more").write_text("")


def change(folder: Path) -> None:
    with (folder / "weights").open("r+b") as file:
        file.write(b"\x01")


def garble_manifest(folder: Path) -> None:
    (folder / "manifest.json").write_text('{"weights": [1')


def empty_manifest(folder: Path) -> None:
    (folder / "manifest.json").write_text("[]")


def remove_manifest(folder: Path) -> None:
    (folder / "manifest.json").unlink()


@pytest.mark.parametrize("damage", [cut, remove, add, change, garble_manifest, empty_manifest, remove_manifest])
def test_a_damaged_folder_is_noticed_and_built_anew(folder, damage):
    build = Builder()
    keep(folder, build, WORK, "building")
    damage(folder)
    assert not intact(folder, WORK)
    keep(folder, build, WORK, "building")
    assert build.built == 2
    assert whole(folder)
    assert intact(folder, WORK)


def test_damage_that_leaves_size_and_time_as_they_were_is_found_by_hashing(folder):
    build = Builder()
    keep(folder, build, WORK, "building")
    weights = folder / "weights"
    when = weights.stat().st_mtime_ns
    change(folder)
    os.utime(weights, ns=(when, when))
    assert intact(folder, WORK)
    assert not intact(folder, WORK, thorough=True)
    keep(folder, build, WORK, "building", thorough=True)
    assert whole(folder)


def test_a_folder_that_was_copied_is_hashed_once_and_then_believed(folder, monkeypatch):
    keep(folder, Builder(), WORK, "building")
    os.utime(folder / "weights", ns=(1, 1))
    assert intact(folder, WORK)
    monkeypatch.setattr("probes.system.kept_folder.hash_file", None)
    assert intact(folder, WORK)


def test_a_build_that_fails_leaves_nothing_behind(folder):
    def failing(part: Path) -> None:
        (part / "weights").write_bytes(b"half")
        raise Failure("No", "it failed")

    with pytest.raises(Failure):
        keep(folder, failing, WORK, "building")
    assert [path.name for path in folder.parent.iterdir()] == ["model.lock"]


def test_what_a_killed_build_left_is_cleared_away(folder):
    code = f"""if True:
        import os, pathlib
        from probes.system.kept_folder import keep
        from probes.system.progress import Work
        def build(part):
            (part / "weights").write_bytes(b"half")
            part.with_name("log").write_text("what it was saying")
            os._exit(9)
        keep(pathlib.Path({str(folder)!r}), build, Work(), "building")
    """
    assert subprocess.run([sys.executable, "-c", code]).returncode == 9
    assert len(list(folder.parent.iterdir())) == 2
    keep(folder, Builder(), WORK, "building")
    assert {path.name for path in folder.parent.iterdir()} == {"model", "model.lock"}
    assert whole(folder)


def test_processes_that_want_the_same_folder_build_it_once(folder, tmp_path):
    code = f"""if True:
        import pathlib, sys, time
        from probes.system.kept_folder import keep
        from probes.system.progress import Work
        def build(part):
            with open({str(tmp_path / "built")!r}, "a") as log:
                log.write("built\\n")
            time.sleep(0.5)
            (part / "weights").write_text("whole")
        keep(pathlib.Path({str(folder)!r}), build, Work(), "building")
    """
    running = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(3)]
    assert [process.wait(60) for process in running] == [0, 0, 0]
    assert (tmp_path / "built").read_text() == "built\n"


FILLING = """if True:
    import pathlib, sys
    from probes.system.kept_folder import keep
    from probes.system.progress import Work
    def build(part):
        (part / "weights").write_bytes(bytes(1000))
        print("filling", flush=True)
        sys.stdin.readline()
        (part / "config").write_text("written in the end")
    keep(pathlib.Path(sys.argv[1]), build, Work(), "building")
"""
EVICTING = """if True:
    import pathlib, sys
    from probes.system.kept_folder import evict, keep
    from probes.system.progress import Work
    parent = pathlib.Path(sys.argv[1])
    for number in range(20):
        folder = parent / f"{sys.argv[2]}-{number}"
        keep(folder, lambda part: (part / "weights").write_bytes(bytes(1000)), Work(), "building")
        evict(parent, 5000, folder, Work())
"""


def test_the_folders_used_least_lately_are_evicted(tmp_path):
    folders = [tmp_path / "kept" / str(number) for number in range(4)]
    for age, folder in enumerate(folders):
        keep(folder, Builder(), WORK, "building")
        os.utime(folder, (1000 - age, 1000 - age))
    evict(tmp_path / "kept", 5000, folders[3], WORK)
    assert [folder.exists() for folder in folders] == [True, False, False, True]
    assert all(intact(folder, WORK) for folder in (folders[0], folders[3]))


def test_a_folder_that_another_process_is_filling_is_not_evicted(folder, tmp_path):
    other = folder.with_name("other")
    filling = subprocess.Popen(
        [sys.executable, "-c", FILLING, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert filling.stdout.readline() == "filling\n"
    keep(other, Builder(), WORK, "building")
    evict(folder.parent, 0, folder.with_name("newest"), WORK)
    assert not other.exists()
    filling.communicate("go on\n")
    assert filling.returncode == 0
    assert intact(folder, WORK)
    assert (folder / "config").read_text() == "written in the end"


def test_processes_that_fill_and_evict_at_once_remove_no_more_than_they_must(tmp_path):
    running = [subprocess.Popen([sys.executable, "-c", EVICTING, str(tmp_path / "kept"), name]) for name in "ab"]
    assert [process.wait(120) for process in running] == [0, 0]
    left = [path for path in (tmp_path / "kept").iterdir() if path.is_dir()]
    sizes = [sum(file.stat().st_size for file in folder.iterdir()) for folder in left]
    assert 5000 - max(sizes) < sum(sizes) <= 5000
    assert all(intact(folder, WORK) for folder in left)


def test_what_a_killed_program_left_goes_with_the_eviction(folder):
    left = folder.parent / ".gone.part-1234" / "gone"
    left.mkdir(parents=True)
    keep(folder, Builder(), WORK, "building")
    evict(folder.parent, 0, folder, WORK)
    assert not left.parent.exists()
    assert whole(folder)


# The cache folder ---------------------------------------------------------------------------------------------


def test_the_cache_is_where_the_environment_says(tmp_path, monkeypatch):
    monkeypatch.setenv("PHIER_CACHE", str(tmp_path / "here"))
    assert cache_folder() == tmp_path / "here"
    monkeypatch.setenv("PHIER_CACHE", "~nobody-of-this-name/here")
    assert cache_folder() == Path("~nobody-of-this-name/here")


def test_a_file_is_hashed_once_and_again_when_it_changes(tmp_path, monkeypatch):
    monkeypatch.setenv("PHIER_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "file"
    file.write_bytes(b"abc")
    abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    told = []
    assert sha256(file, Work(told.append), "hashing") == abc
    assert (told[-1].done, told[-1].total) == (3, 3)
    assert sha256(file, Work(told.append), "hashing") == abc
    assert len(told) == 1
    file.write_bytes(b"abcd")
    assert sha256(file, Work(told.append), "hashing") != abc


def test_what_is_remembered_belongs_to_these_files_as_they_are(tmp_path, monkeypatch):
    monkeypatch.setenv("PHIER_CACHE", str(tmp_path / "cache"))
    files = [tmp_path / "a", tmp_path / "b"]
    for file in files:
        file.write_text("text")
    assert recall("kind", signature_of(files)) == ""
    remember("kind", signature_of(files), "digest")
    assert recall("kind", signature_of(files[::-1])) == "digest"
    assert recall("kind", signature_of(files, "float32")) == ""
    assert recall("other", signature_of(files)) == ""
    files[0].write_text("longer text")
    assert recall("kind", signature_of(files)) == ""


def test_waiting_for_another_process_can_be_cancelled(tmp_path):
    waited = []
    with locked(tmp_path / "thing", WORK, "waiting"):
        waiting = Work(waited.append, lambda: len(waited) > 1)
        caught = []

        def want() -> None:
            try:
                with locked(tmp_path / "thing", waiting, "waiting"):
                    pass
            except Cancelled as problem:
                caught.append(problem)

        thread = threading.Thread(target=want)
        thread.start()
        thread.join(10)
    assert [event.task for event in waited] == ["waiting", "waiting"]
    assert len(caught) == 1


# Other programs -----------------------------------------------------------------------------------------------


def test_a_program_is_watched_while_it_runs_and_its_words_are_kept(tmp_path):
    looks = []
    code = "import sys, time; print('one', flush=True); time.sleep(0.3); print('error: two', file=sys.stderr); exit(3)"
    command = [sys.executable, "-c", code + "\nprint('three')"]
    ended = run(command, WORK, "running", log=tmp_path / "log", watch=lambda: looks.append(1), every=0.02)
    assert ended.code == 3
    assert ended.log == "one\nerror: two\n"
    assert ended.last_words == "error: two"
    assert len(looks) > 1


def test_a_program_that_said_nothing_still_gives_a_reason(tmp_path):
    ended = run([sys.executable, "-c", "exit(4)"], WORK, "running", log=tmp_path / "log")
    assert ended.last_words == "it ended with code 4 and no output"


@pytest.mark.skipif(sys.platform == "win32", reason="signals end programs elsewhere")
def test_a_program_that_was_killed_says_so_instead_of_its_last_words(tmp_path):
    code = "import os; print('half way', flush=True); os.kill(os.getpid(), 9)"
    ended = run([sys.executable, "-c", code], WORK, "running", log=tmp_path / "log")
    assert ended.last_words == "it was ended by signal 9, which happens if memory runs out"


def test_a_cancelled_program_is_gone(tmp_path):
    code = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
    log = tmp_path / "log"
    cancelled = Work(cancelled=lambda: log.exists() and log.read_text() != "")
    with pytest.raises(Cancelled):
        run([sys.executable, "-c", code], cancelled, "running", log=log)
    with pytest.raises(ProcessLookupError):
        os.kill(int(log.read_text()), 0)


def test_a_cancelled_program_that_will_not_end_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr("probes.system.subprocesses.PATIENCE", 0.2)
    code = (
        "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print(os.getpid(), flush=True); time.sleep(600)"
    )
    log = tmp_path / "log"
    with pytest.raises(Cancelled):
        run([sys.executable, "-c", code], Work(cancelled=lambda: log.read_text() != ""), "running", log=log)
    with pytest.raises(ProcessLookupError):
        os.kill(int(log.read_text()), 0)
