"""Models come from a hub, from its cache without it, and a hub that has none says so in a sentence."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.hub import COMMIT, hub
from tests.support.tiny import byte_tokenizer, save, tiny

NOWHERE = "http://127.0.0.1:9"
"""An address at which nobody listens."""

LOAD_EACH = """
import json, sys
from probes.schema.errors import PhierError
from probes.system.progress import Work
from probes.models.loaded import load

for spec in sys.argv[1:]:
    told = []
    cancel = spec.startswith("cancelled ")
    def cancelled():
        return cancel and any(event.unit == "bytes" for event in told)
    try:
        answer = load(spec.removeprefix("cancelled "), work=Work(told.append, cancelled)).info.revision
    except PhierError as problem:
        answer = f"{type(problem).__name__}: {problem}"
    fetched = [event for event in told if event.task.startswith("Downloading") and event.unit == "bytes"]
    print(json.dumps([answer, max((event.done for event in fetched), default=0)]))
"""


@dataclass(frozen=True)
class Outcome:
    """What became of loading each of some models, in one Python."""

    answers: list[str]
    """The commit that was loaded, or the error."""
    fetched: list[int]
    """Bytes that came."""


def load_each(*specs: str, endpoint: str, home: Path, **environment: str) -> Outcome:
    # Another Python, since a hub's address is settled when its library is imported.
    bare = {key: value for key, value in os.environ.items() if key != "HF_HUB_OFFLINE"}
    own = {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "PHIER_CACHE": str(home), "HF_HUB_DISABLE_XET": "1"}
    command = [sys.executable, "-c", LOAD_EACH, *specs]
    ended = subprocess.run(
        command, env={**bare, **own, **environment}, capture_output=True, text=True, timeout=180, check=False
    )
    assert ended.stderr == ""
    lines = [json.loads(line) for line in ended.stdout.splitlines()]
    return Outcome([answer for answer, _ in lines], [int(fetched) for _, fetched in lines])


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    tokenizer = byte_tokenizer()
    return save(tmp_path_factory.mktemp("hub") / "model", tiny("llama", vocab_size=len(tokenizer)), tokenizer)


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def online(model, home, tmp_path_factory) -> Outcome:
    pickled = tmp_path_factory.mktemp("pickled")
    shutil.copytree(model, pickled, dirs_exist_ok=True)
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    with hub({"some/model": model, "some/pickle": pickled}, seconds_a_file=0.05) as endpoint:
        return load_each(
            "cancelled some/model",
            "some/model",
            "some/model",
            f"some/model@{COMMIT}",
            "some/model@missing",
            "other/model",
            "some/pickle",
            endpoint=endpoint,
            home=home,
        )


def test_fetching_can_be_cancelled(online):
    assert online.answers[0] == "Cancelled: Cancelled: Downloading some/model was cancelled."


def test_a_model_comes_from_the_hub_once(online, model):
    assert online.answers[1:3] == [COMMIT, COMMIT]
    assert 0 < online.fetched[1] <= sum(file.stat().st_size for file in model.iterdir())
    assert online.fetched[2] == 0


def test_a_revision_can_be_named(online):
    assert online.answers[3] == COMMIT
    assert online.answers[4].startswith("BadInput: Model not found: some/model has no revision missing.")


def test_a_model_that_the_hub_does_not_have_is_said_so(online):
    said = "BadInput: Model not found: The hub has no model other/model, or it is private. Name a folder"
    assert online.answers[5].startswith(said)


def test_pickled_weights_are_not_even_fetched(online, home):
    assert online.answers[6].startswith("BadInput: No weights: pickle has no safetensors weights")
    assert list(home.rglob("*.safetensors"))
    assert not list(home.rglob("*.bin"))


@pytest.mark.parametrize(
    ("environment", "why"), [({}, "the hub can't be reached"), ({"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE is set")]
)
def test_without_the_hub_its_cache_is_used_and_what_is_not_in_it_is_said_so(online, home, environment, why):
    without = load_each("some/model", "other/model", endpoint=NOWHERE, home=home, **environment)
    assert without.answers[0] == COMMIT
    assert without.answers[1].startswith(
        f"Failure: Model not downloaded: other/model is not in the hub's cache, and {why}."
    )
