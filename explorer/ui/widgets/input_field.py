"""A field to type in, in which keys take effect in the order in which they were pressed."""

from __future__ import annotations

from textual.events import Key
from textual.widgets import Input


class InputField(Input):
    """Textual's own field inserts a letter at once, but a key that edits (⌫, ⏎, ^U) only when the app has looked for it
    in every list of keys. Of keys that come together, as over a slow line, a letter would overtake the ⌫ before it."""

    async def on_key(self, event: Key) -> None:
        for binding in () if event.is_printable else self._bindings.key_to_bindings.get(event.key, ()):
            if await self.app.run_action(binding.action, self):
                event.stop()
                event.prevent_default()
                return
