"""The tour's guide: on every screen it shows the strip, and at > it does the key of the stop for the person."""

from __future__ import annotations

from typing import Any, Protocol

from textual.app import App
from textual.screen import Screen

from explorer.sources.source import Source
from explorer.state.tour import Tour, TourPage
from explorer.state.view import View
from explorer.ui.filled_keys import bound_keys
from explorer.ui.screens.main import MainScreen
from explorer.ui.widgets.key_line import KeyLine
from explorer.ui.widgets.tour_strip import LOOKS, TourStrip


class Guided(Protocol):
    """What the guide needs of the explorer."""

    @property
    def view(self) -> View: ...

    def use(self, source: Source) -> None: ...


class Guide:
    """Accompanies a person through the screens of the explorer."""

    def __init__(self, app: App[int], explorer: Guided) -> None:
        self._app, self._explorer = app, explorer
        self._tour: Tour | None = None

    @property
    def on_tour(self) -> bool:
        return self._tour is not None

    def begin(self) -> None:
        """Begins the tour at its first stop."""
        self.end()
        self._tour = Tour()
        for screen in self._app.screen_stack if self._app.is_running else ():
            self.accompany(screen)

    def accompany(self, screen: Screen[Any]) -> None:
        """Shows the strip on a full screen that has none."""
        if self._tour is None or not screen.query(KeyLine) or screen.query(TourStrip):
            return
        screen.mount(strip := TourStrip(self._tour))
        screen.call_after_refresh(self.look)
        strip.set_interval(LOOKS, self.look)

    def look(self) -> None:
        """Goes on if the key of the stop has done its work, and says what is to be said now on the screen that is
        seen. What a tour waits for happens on several screens and in the models, so this is done from time to time."""
        screen = self._app.screen
        for strip in screen.query(TourStrip):
            strip.look(self._explorer.view, _page_of(screen))

    def press(self, key: str) -> None:
        """Takes note of a key that is handed on."""
        if self._tour is not None and key in bound_keys(self._app.screen, self._tour.stop.command):
            self._tour.press()

    def go_on(self) -> None:
        """Does the key of the stop; without models, or before they are there, it goes to the recording."""
        tour, view = self._tour, self._explorer.view
        if tour is None or view.running:
            return
        if view.header is None:
            from explorer.recordings.shipped import TOUR_RECORDING, shipped_folder
            from explorer.sources.replay import ReplaySource

            self._explorer.use(ReplaySource(shipped_folder() / TOUR_RECORDING, play=True))
        elif tour.last:
            self.end()
        else:
            while not isinstance(self._app.screen, MainScreen):
                self._app.pop_screen()
            self._app.simulate_key(bound_keys(self._app.screen, tour.stop.command)[0])

    def back(self) -> None:
        """Says again what was said at the stop before."""
        if self._tour is not None:
            self._tour.back()

    def end(self) -> None:
        """Takes the strip away."""
        self._tour = None
        for screen in self._app.screen_stack if self._app.is_running else ():
            screen.query(TourStrip).remove()


def _page_of(screen: Screen[Any]) -> TourPage:
    """The screen, as far as the tour is concerned: by its name, as most screens are imported only when they open."""
    pages = {"MainScreen": TourPage.MAIN, "WhyScreen": TourPage.WHY, "VerdictScreen": TourPage.VERDICT}
    return pages.get(type(screen).__name__, TourPage.OTHER)
