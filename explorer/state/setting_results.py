"""What is known of each prune setting over many items: the verdict, the items, the documents, the passages."""

from __future__ import annotations

from dataclasses import dataclass, field

from probes.schema.events import DocumentsCompared, ItemScored, Judged, PassagesFound
from probes.schema.header import RunHeader
from probes.schema.task_results import Similarities
from probes.schema.verdict import TaskVerdict, Verdict

MOST_SETTINGS = 12
"""Of how many settings the results are kept; those of the setting that was left longest ago are dropped first."""

TaskEvent = ItemScored | DocumentsCompared | Judged | PassagesFound
_Models = tuple[str, str, str]
"""The dense model, the pruned one, and its setting."""


@dataclass(slots=True, eq=False)
class SettingResults:
    """What is known of one setting."""

    verdict: Verdict | None = None
    """None until the first item is scored."""
    tasks: tuple[str, ...] = ()
    """The tasks that it was asked for; empty for all that ship."""
    judged: int = 0
    """The request that the verdict answers."""
    kept_in: str | None = None
    """The results file; "" if the results are in memory only, None if nothing was measured."""
    items: dict[str, dict[str, ItemScored]] = field(default_factory=dict)
    """By task and item, in the order in which they were scored."""
    similarities: dict[str, Similarities] = field(default_factory=dict)
    """By task."""
    passages: PassagesFound | None = None
    recalled: bool = False
    """Was it asked what an earlier sitting scored?"""
    version: int = 0
    """Grows whenever something arrives, so that widgets know to draw again."""

    def take(self, event: TaskEvent) -> None:
        """Keeps what an event brings, in place of what was known of the same thing."""
        self.version += 1
        match event:
            case ItemScored(result):
                self.items.setdefault(result.task, {})[result.item] = event
            case DocumentsCompared(found):
                self.similarities[found.task] = found
            case Judged(verdict):
                self.verdict = verdict if verdict.done else None
                self.judged, self.kept_in = event.request, event.kept_in
            case PassagesFound():
                self.passages = event

    @property
    def rows(self) -> tuple[TaskVerdict, ...]:
        """The rows of the verdict."""
        return self.verdict.rows if self.verdict is not None else ()

    def scored(self, task: str) -> list[ItemScored]:
        """The scored items of a task."""
        return list(self.items.get(task, {}).values())


class ResultsBook:
    """Keeps the results of the latest settings. One setting is the present one."""

    def __init__(self) -> None:
        self._present: _Models = ("", "", "")
        self._kept: dict[_Models, SettingResults] = {self._present: SettingResults()}
        self._asked: dict[int, SettingResults] = {}

    def begin(self, header: RunHeader) -> None:
        """The setting of this run is now the present one."""
        setting = header.prune.setting if header.prune is not None else ""
        self._present = (header.dense.name, header.pruned.name, setting)
        self._kept[self._present] = self._kept.pop(self._present, SettingResults())
        while len(self._kept) > MOST_SETTINGS:
            del self._kept[next(iter(self._kept))]

    @property
    def present(self) -> SettingResults:
        """The results of the present setting."""
        return self._kept[self._present]

    def expect(self, request: int) -> None:
        """The answers to this request are about the present setting, whichever is shown when they arrive."""
        self._asked[request] = self.present
        while len(self._asked) > 2 * MOST_SETTINGS:
            del self._asked[next(iter(self._asked))]

    def asked(self, request: int) -> SettingResults | None:
        """The results that a request adds to."""
        return self._asked.get(request)

    def take(self, event: TaskEvent) -> None:
        """Keeps what an event brings. A verdict names its models and setting: what follows it is about them, too."""
        if isinstance(event, Judged) and event.request in self._asked:
            verdict = event.verdict
            named = self._kept.get((verdict.dense, verdict.pruned, verdict.setting))
            self._asked[event.request] = named or self._asked[event.request]
        self._asked.get(event.request, self.present).take(event)
