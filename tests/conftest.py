"""What every test may rely on: no hub, few threads, quiet libraries, and the demo model loaded once."""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # tests often share a machine, where waiting busily is slow
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from probes.models import Loaded


@pytest.fixture(autouse=True, scope="session")
def _own_configuration(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whoever runs the tests keeps what they have named."""
    os.environ["PHIER_CONFIG"] = str(tmp_path_factory.mktemp("config"))


@pytest.fixture(scope="session")
def demo() -> Loaded:
    """The demo model, fetched on first use. Shared by all tests: change nothing in it that isn't put back."""
    from probes.models import load

    return load("demo")
