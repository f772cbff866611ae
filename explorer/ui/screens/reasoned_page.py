"""Full screens that say why a key has no effect."""

from __future__ import annotations

from typing import Any

from textual.events import Key

from explorer.ui.commands import Command
from explorer.ui.screens.page import Page


class ReasonedPage(Page):
    """A screen on which a key that is not possible now does nothing but say why."""

    def why_not(self, command: Command[Any]) -> str:
        """Why a command is not possible now, in a sentence; "" says nothing."""
        raise NotImplementedError

    def is_possible(self, action: str) -> bool:
        """Is an action possible now? One that is not in the table is not restricted."""
        command = self.command_by_action(action)
        return command is None or command.when(self.command_state)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002 - Textual's
        return self.is_possible(action)

    def on_key(self, event: Key) -> None:
        command = self.command_by_key(event.key)
        if command is not None:
            self.say_why_not(command)

    def say_why_not(self, command: Command[Any]) -> bool:
        """Says why a command is not possible now. False if it is possible."""
        if command.when(self.command_state):
            return False
        if why := self.why_not(command):
            self.notify(why, title="Not possible now")
        return True
