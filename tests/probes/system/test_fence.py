"""Behind a fence, no path leads out of its folders."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from probes.models.spec_check import check_spec, nearby
from probes.prune.allocation import table_text
from probes.recording.reader import read
from probes.recording.writer import RecordingWriter
from probes.schema.errors import BadInput
from probes.sweep.sweep_file import read_sweep
from probes.system.fence import inside, remove_fence, set_fence
from probes.system.user_folders import cache_folder, expanded
from probes.tasks.item_files import item_set
from probes.tasks.results_file import read_results
from probes.tasks.text_files import text_files


@pytest.fixture
def fence(tmp_path: Path) -> Iterator[Path]:
    """A fenced folder, beside which there is a secret, to which a link in the folder leads."""
    folder, secret = tmp_path / "served", tmp_path / "served-not" / "secret.txt"
    (folder / "sub").mkdir(parents=True)
    secret.parent.mkdir()
    secret.write_text("secret\n")
    (folder / "own.txt").write_text("own\n")
    (folder / "link.txt").symlink_to(secret)
    (folder / "way").symlink_to(secret.parent)
    (folder / "inner.txt").symlink_to(folder / "own.txt")
    (folder / "circle").symlink_to(folder / "circle")
    shipped = tmp_path / "shipped"
    shipped.mkdir()
    set_fence([folder], [shipped])
    yield folder
    remove_fence()


@pytest.mark.parametrize("name", ["own.txt", "inner.txt", "sub/../own.txt", "new.txt", "sub/new.txt", "."])
def test_what_is_inside_may_be_used(fence, name):
    assert expanded(fence / name) == (fence / name).resolve()
    assert inside(fence / name, to_write=True)


@pytest.mark.parametrize(
    "name",
    ["link.txt", "way", "way/secret.txt", "way/none.txt", "../served-not/secret.txt", "sub/../../none", "circle",
     "circle/x", "no\x00name", "/", "/proc/self/environ", "~root/.profile", "~/.profile", "..", "/dev/stdin"],
)  # fmt: skip
def test_what_leads_outside_is_refused_in_one_sentence_whether_it_is_there_or_not(fence, name):
    path = fence / name if not name.startswith(("~", "/")) else Path(name)
    for refused in (lambda: expanded(path), lambda: inside(fence / Path(name).expanduser(), to_write=True)):
        with pytest.raises(BadInput, match="from a browser") as problem:
            refused()
        assert "secret\n" not in str(problem.value)


def test_what_may_only_be_read_is_not_written(fence):
    shipped = fence.parent / "shipped" / "one.jsonl"
    assert expanded(shipped) == shipped
    with pytest.raises(BadInput, match="written"):
        RecordingWriter(shipped)
    assert not shipped.exists()


@pytest.mark.parametrize(
    "opens",
    [read, read_results, read_sweep, RecordingWriter, lambda path: item_set(str(path)),
     lambda path: text_files([str(path)]), lambda path: text_files([str(path.parent)]),
     lambda path: check_spec(str(path)), lambda path: table_text(str(path))],
)  # fmt: skip
def test_whatever_opens_a_file_refuses_a_link_that_leads_outside(fence, opens: Callable[[Path], object]):
    with pytest.raises(BadInput, match="from a browser"):
        opens(fence / "link.txt")


def test_no_hint_names_what_is_outside(fence):
    assert nearby(fence / "own.tx") != ""
    assert nearby(fence.parent / "served-not" / "secre.txt") == ""


def test_the_programs_own_folders_are_no_typed_paths(fence):
    assert not cache_folder().is_relative_to(fence)


def test_without_a_fence_every_path_is_as_it_was_typed():
    assert inside(Path("a/../b"), to_write=True) == Path("a/../b")
