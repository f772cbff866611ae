"""Starts the process that holds the models of all tabs."""

from __future__ import annotations

import pickle
import secrets
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

from explorer.serve.models import Orders
from explorer.serve.told import Told, environment
from probes.models.naming import is_local
from probes.schema.errors import Failure
from probes.schema.prune_setting import Table
from probes.schema.settings import RunSettings
from probes.schema.spec import PairSpec
from probes.system.user_folders import expanded


def started_models(spec: PairSpec, settings: RunSettings, told: Told) -> tuple[str, bytes]:
    """Where it listens, and the key that it must be shown. It ends with this process. Raises `Failure` if it ends at
    once."""
    spec = _at_full_length(spec)
    told = replace(told, readable=(*told.readable, *_places(spec)))
    key = secrets.token_bytes(32)
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", "from explorer.serve.models import main; main()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment(told),
        start_new_session=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    pickle.dump(Orders(spec, settings, told, key), process.stdin)
    process.stdin.flush()  # it stays open: the process ends when it is closed
    address = process.stdout.readline().decode().strip()
    if not address:
        raise Failure("No models", "The process with the models has ended at once.", "Run it again with --debug.")
    _running.append(process)
    return address, key


_running: list[subprocess.Popen[bytes]] = []
"""Kept, so that their input is not closed."""


def _at_full_length(spec: PairSpec) -> PairSpec:
    """The same with paths that hold in any folder."""
    return replace(
        spec,
        dense=_absolute(spec.dense),
        pruned=_absolute(spec.pruned),
        calibration=replace(spec.calibration, source=_absolute(spec.calibration.source)),
    )


def _absolute(name: str) -> str:
    return str(expanded(name).absolute()) if name and is_local(name) else name


def _places(spec: PairSpec) -> Iterator[str]:
    """The files and folders that the models are made of."""
    tables = [part.amount.path for part in (spec.prune.parts if spec.prune else ()) if isinstance(part.amount, Table)]
    for name in (spec.dense, spec.pruned, spec.calibration.source, spec.load.device_map, *tables):
        if name and is_local(name):
            yield str(expanded(name).absolute())
