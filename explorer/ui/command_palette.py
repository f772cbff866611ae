"""The command palette: the commands of the screen that are possible now, each named "Area: Verb"."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from textual.command import DiscoveryHit, Hit, Hits, Provider

from explorer.ui.commands import Command, Commanded
from explorer.ui.filled_keys import with_keys


class PossibleCommands(Provider):
    """The possible commands of the screen below the palette."""

    def _commands(self) -> list[Command[Any]]:
        return self.screen.possible_commands() if isinstance(self.screen, Commanded) else []

    def _help(self, command: Command[Any]) -> str:
        """Its key and what it does."""
        return (
            f"{self.screen.shown_key(command)}  {with_keys(self.screen, command.help)}"
            if isinstance(self.screen, Commanded)
            else ""
        )

    def _runner(self, command: Command[Any]) -> Callable[[], Awaitable[None]]:
        return partial(self.screen.run_action, command.action)

    async def discover(self) -> Hits:
        for command in self._commands():
            yield DiscoveryHit(command.name, self._runner(command), help=self._help(command))

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for command in self._commands():
            if (score := matcher.match(command.name)) > 0:
                yield Hit(score, matcher.highlight(command.name), self._runner(command), help=self._help(command))
