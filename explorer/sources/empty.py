"""The source before anything is chosen: it has no steps and does nothing that is asked of it."""

from __future__ import annotations

from collections.abc import Sequence

from explorer.sources.source import Sink, Token
from probes.schema.prune_setting import Setting
from probes.schema.settings import RunSettings


class EmptySource:
    """Nothing to show yet."""

    live = False

    def open(self, sink: Sink) -> None: ...

    def close(self) -> None: ...

    def step(self) -> None: ...

    def run(self, until: Sequence[str] = ()) -> None: ...

    def pause(self) -> None: ...

    def cancel(self) -> None: ...

    def fork(self, step: int, dense: Token | None = None, pruned: Token | None = None) -> None: ...

    def select(self, branch: int) -> None: ...

    def restart(self, settings: RunSettings) -> None: ...

    def prune(self, setting: Setting) -> None: ...
