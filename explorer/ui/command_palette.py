"""The command palette: only what is possible now, each named "Area: Verb"."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from functools import partial

from textual.command import DiscoveryHit, Hit, Hits, Provider

from explorer.ui.commands import COMMANDS, Command
from explorer.ui.screens.main import MainScreen


class PossibleCommands(Provider):
    """The commands of the main screen, as far as they can be done."""

    def _commands(self) -> Iterator[Command]:
        if isinstance(self.screen, MainScreen):
            view = self.screen.view
            yield from (command for command in COMMANDS if command.name and command.when(view))

    def _runner(self, command: Command) -> Callable[[], Awaitable[None]]:
        return partial(self.screen.run_action, command.action)

    async def discover(self) -> Hits:
        for command in self._commands():
            yield DiscoveryHit(command.name, self._runner(command), help=command.help)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for command in self._commands():
            if (score := matcher.match(command.name)) > 0:
                yield Hit(score, matcher.highlight(command.name), self._runner(command), help=command.help)
