"""Every test runs without a hub, on few threads (one if tests run side by side), with quiet libraries. The demo model
is loaded once. A test whose program is missing is skipped or fails by tests/support/programs.py."""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("OMP_NUM_THREADS", "1" if "PYTEST_XDIST_WORKER" in os.environ else "2")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # tests often share a machine, where waiting busily is slow
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import gc
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis

from tests.support.programs import NEEDS, SKIPPED, require
from tests.support.user_folders import cache_of_tests, settings, written

if TYPE_CHECKING:
    from collections.abc import Iterator

    from probes.models.loaded import Loaded


# How long an example takes says how busy the machine is, and nothing of what is tested.
hypothesis.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis.load_profile("any machine")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begins with the files that have slow tests: begun last, one would be done while the other workers have nothing
    to do."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_collection_finish() -> None:
    """Spares the collector of garbage the libraries' half a million objects, which it would walk again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark, program in NEEDS.items():
        if item.get_closest_marker(mark):
            require(program)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Lists the loud skips last, where nobody overlooks them."""
    skipped = [report.longrepr[2] for report in terminalreporter.stats.get("skipped", ())]
    loud = Counter(reason.removeprefix("Skipped: ") for reason in skipped if SKIPPED in reason)
    if loud:
        terminalreporter.section("NOT TESTED", sep="!", red=True, bold=True)
        for reason, count in loud.items():
            terminalreporter.write_line(f"{count} skipped, {reason.partition(SKIPPED)[2]}", red=True)


def _shared_folder(factory: pytest.TempPathFactory) -> Path:
    """One folder for all workers, and for all of `tests/run.sh`: the demo model is then pruned only once by a
    setting."""
    base = factory.getbasetemp()
    workers = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    return Path(os.environ.get("PHIER_TESTS_CACHE") or workers / "phier_cache")


@pytest.fixture(autouse=True, scope="session")
def _own_folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Whoever runs the tests keeps what they have recorded, named and measured: all of it goes into folders of the
    tests' own. Only the demo model's files are in the user's cache, so that they are fetched once.

    A program that is started without these variables records into the folder that its user has by default, for which
    there is a stand-in; its parent is returned. The folder of settings has none: other programs, such as pip, find
    theirs beside it.
    """
    for variable in ("PHIER_RECORDINGS", "PHIER_CONFIG"):
        os.environ[variable] = str(tmp_path_factory.mktemp(variable.lower()))
    os.environ["PHIER_CACHE"] = str(cache_of_tests(_shared_folder(tmp_path_factory)))
    os.environ.pop("PHIER_SESSIONS", None)  # the earlier name of PHIER_RECORDINGS
    user = tmp_path_factory.mktemp("user")
    os.environ["XDG_DATA_HOME"] = str(user / "data")
    return user


@pytest.fixture(autouse=True)
def _nothing_into_the_users_folders(_own_folders: Path) -> Iterator[None]:
    """Fails a test that wrote where a user's recordings or settings are by default."""
    before = settings()
    yield
    assert not (found := written(_own_folders)), f"The test recorded into its user's own folder: {found}"
    assert settings() == before, "The test wrote into its user's own settings."


@pytest.fixture(scope="session")
def demo() -> Loaded:
    """The demo model, fetched on first use. Shared by all tests: change nothing in it that isn't put back."""
    from probes.models.loaded import load

    return load("demo")
