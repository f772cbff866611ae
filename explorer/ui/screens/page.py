"""The base of full screens: it fits the layout to the terminal, zooms a panel, copies, and changes colours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual import on
from textual.events import Resize
from textual.widget import Widget
from textual.widgets import Static

from explorer.state.view import View
from explorer.ui.commands import Commanded
from explorer.ui.messages import FigurePointed
from explorer.ui.screens.closing import Closable
from explorer.ui.widgets.line_compositor import LineScreen
from explorer.ui.widgets.line_widget import LineWidget
from explorer.ui.widgets.text_panel import TextPanel

if TYPE_CHECKING:
    from explorer.ui.app import ExplorerApp
    from explorer.ui.copying import Copyable

LEAST_WIDTH, LEAST_HEIGHT = 60, 16
FULL_WIDTH, FULL_HEIGHT = 110, 33
"""From this size on, panels have charts beside their figures. On a smaller terminal each is as small as it can be."""
WIDE = 150


class Page(Commanded, Closable, LineScreen):
    """A full screen. A subclass composes it and implements `show`."""

    HOME = "#table"
    """The panel that is used if none is under focus."""
    app: ExplorerApp

    def show(self) -> None:
        """Updates every region."""
        raise NotImplementedError

    def show_soon(self) -> None:
        """Updates every region after what is due to be drawn, unless the page has been closed by then."""
        self.call_after_refresh(lambda: self.show() if self in self.app.screen_stack else None)

    def on_mount(self) -> None:
        self.watch(self.app, "theme", self._retheme, init=False)

    def on_screen_resume(self) -> None:
        """Shows what arrived while another page was over it. A new page first shows its frames: to lay it out and to
        fill it at one go would keep the loop waiting for too long."""
        self.show_soon()
        if (guide := getattr(self.app, "guide", None)) is not None:
            guide.accompany(self)

    def on_resize(self, event: Resize) -> None:
        width, height = event.size
        tiny = width < LEAST_WIDTH or height < LEAST_HEIGHT
        self.set_class(tiny, "-tiny")
        self.set_class(not tiny and (width < FULL_WIDTH or height < FULL_HEIGHT), "-compact")
        self.set_class(width >= WIDE, "-wide")
        self.show_soon()

    def _retheme(self) -> None:
        for drawn in self.query(LineWidget):
            drawn.restyle()
        for text in self.query(TextPanel):
            text.frame()

    @property
    def panel(self) -> Widget:
        """The panel under focus."""
        return self.focused or self.query_one(self.HOME)

    @property
    def zoomed(self) -> bool:
        return self.has_class("-zoom")

    def action_zoom(self) -> None:
        if self.zoomed:
            self.close_zoom()
            return
        panel = self.panel if self.panel.has_class("panel") else self.query_one(self.HOME)
        assert panel.parent is not None
        panel.add_class("-zoomed", update=False)
        panel.parent.add_class("-holds", update=False)
        self.add_class("-zoom")  # updates the styles of all that is on it
        panel.focus()
        self.show_soon()

    def close_zoom(self) -> None:
        for panel in self.query(".-zoomed, .-holds"):
            panel.remove_class("-zoomed", "-holds", update=False)
        self.remove_class("-zoom")
        self.show_soon()

    # Definitions.

    def action_define(self) -> None:
        """Shows the definitions of all figures, those of the panel under focus first."""
        self.define(getattr(self.panel, "figure_keys", ()))

    def define(self, first: Sequence[str]) -> None:
        """Shows the definitions of all figures, these first."""
        from explorer.ui.screens.figures import FigureList

        self.app.push_screen(FigureList(first))

    @on(FigurePointed)
    def define_pointed(self, message: FigurePointed) -> None:
        message.stop()
        self.define((message.key,))

    # Copying.

    def copyables(self) -> list[Copyable]:
        """What can be copied from this screen, in the order of the list."""
        from explorer.ui.copyable_parts import panel_parts, run_parts, screen_parts

        view = getattr(self, "view", None)
        run = run_parts(view, self.panel, self.app.source) if isinstance(view, View) else []
        return [*panel_parts(self.panel), *run, *screen_parts(self.app)]

    def action_copy(self) -> None:
        """Asks what to copy."""
        from explorer.ui.copying import ask_copy

        ask_copy(self)


def too_small() -> Static:
    """The sentence on a terminal that is too small."""
    return Static(
        f"phier needs {LEAST_WIDTH} × {LEAST_HEIGHT} cells.\nPlease make the window larger.",
        id="too-small",
        markup=False,
    )
