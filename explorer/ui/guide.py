"""The tour's guide: on every screen it shows the strip, and at > it does the key of the stop for the person."""

from __future__ import annotations

from typing import Any, Protocol

from textual.app import App
from textual.screen import Screen

from explorer.sources.source import Source
from explorer.state.tour import Tour, TourPage, judged
from explorer.state.view import Under, View
from explorer.ui.filled_keys import bound_keys
from explorer.ui.screens.main import MainScreen
from explorer.ui.widgets.key_line import KeyLine
from explorer.ui.widgets.tour_strip import LOOKS, TourStrip
from explorer.words.bound_keys import key_of

_ON = key_of("tour-on")


class Guided(Protocol):
    """What the guide needs of the explorer."""

    @property
    def view(self) -> View: ...

    def use(self, source: Source) -> None: ...

    def show_over(self, source: Source) -> None: ...

    def return_to_recording(self) -> None: ...


class Guide:
    """Accompanies a person through the screens of the explorer."""

    def __init__(self, app: App[int], explorer: Guided) -> None:
        self._app, self._explorer = app, explorer
        self._tour: Tour | None = None
        self._ended: Tour | None = None
        """The tour that was ended before its end, on the run that is shown."""
        self._told = 0
        """The stop that was told: at a key that comes before, nobody can have read it."""
        self._to_scores = False
        """Are the recorded scores to be shown as soon as the recording is there?"""

    @property
    def on_tour(self) -> bool:
        return self._tour is not None

    def begin(self) -> None:
        """Begins the tour at its first stop."""
        self.end()
        self._take(Tour())

    def _take(self, tour: Tour) -> None:
        self._tour, self._ended = tour, None
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
        if self._tour is not None:
            self._told = self._tour.number
        if self._to_scores and not self._explorer.view.live and self._explorer.view.header is not None:
            self._to_scores = _page_of(screen) is not TourPage.VERDICT
            if isinstance(screen, MainScreen) and screen.is_current:
                screen.action_verdict()

    def press(self, key: str) -> None:
        """Takes note of a key that is handed on."""
        if self._tour is not None and key in bound_keys(self._app.screen, self._tour.stop.command):
            self._tour.press()

    def go_on(self) -> None:
        """Does the key of the stop; without models, or before they are there, it goes to the recording. A stop that has
        not been told yet is not left: somebody pressed twice."""
        tour, view = self._tour, self._explorer.view
        if tour is None:
            self._take_again()
        elif view.running:
            self._app.notify(
                f"{tour.next_key(view, _page_of(self._app.screen))}. Then {_ON} goes on.", title="They write"
            )
        elif self._told != tour.number:
            pass
        elif view.header is None:
            self._use_recording()
        elif tour.last and view.live and not judged(view):
            self._to_scores = True
            self._show_scores()
        elif tour.last:
            self.end()
            self._ended = None
            self._app.notify(f"The tour has ended; {_ON} begins it again.")
        elif tour.number == 1 and view.newest:
            tour.press()  # they have written
            self.look()
        else:
            self._press(tour.stop.command)

    def back(self) -> None:
        """Says again what was said at the stop before, and shows it."""
        tour, view = self._tour, self._explorer.view
        if tour is not None and view.header is not None and not view.running:
            if view.under is Under.TOUR:  # the scores of another run were shown over this one
                self._explorer.return_to_recording()
                view = self._explorer.view
            tour.back(view)
            if tour.stop.told_at:
                self._press(tour.stop.told_at)

    def _press(self, command: str) -> None:
        """Presses the key of a command of the main screen."""
        while not isinstance(self._app.screen, MainScreen):
            self._app.pop_screen()
        self._app.simulate_key(bound_keys(self._app.screen, command)[0])

    def _use_recording(self) -> None:
        from explorer.recordings.opening import open_tour

        while not isinstance(self._app.screen, MainScreen):
            self._app.pop_screen()
        self._explorer.use(open_tour("", None, None))

    def _show_scores(self) -> None:
        from explorer.recordings.shipped import TOUR_RECORDING, shipped_folder
        from explorer.sources.replay import ReplaySource

        self._explorer.show_over(ReplaySource(shipped_folder() / TOUR_RECORDING))

    def _take_again(self) -> None:
        """Takes the tour up where it was ended, or begins one on the run that is shown."""
        if not self._app.screen.query(KeyLine):
            return
        if self._explorer.view.header is None:
            sentence = f"The tour is taken on a run: {key_of('recordings')} lists recordings."
            self._app.notify(sentence, title="No run is open")
            return
        tour, again = self._ended or Tour(), self._ended is not None
        self._take(tour)
        what = f"The tour goes on at stop {tour.number}." if again else "The tour begins on this run."
        self._app.notify(f"{what} {key_of('tour-end')} ends it.", title="Tour")

    def end_for(self, why: str) -> None:
        """Ends the tour because another run takes the place of its own, and says so."""
        if self._tour is not None:
            self.end()
            self._app.notify(f"{why}: the tour has ended. {_ON} begins it here.", title="Tour")

    def stop(self) -> None:
        """Ends the tour because a person wants it."""
        if self._tour is not None:
            number = self._tour.number
            self.end()
            self._app.notify(f"{_ON} takes it up again at stop {number}.", title="The tour has ended")

    def forget(self) -> None:
        """Another run is shown: a tour that was ended is not taken up on it."""
        self._ended = None

    def end(self) -> None:
        """Takes the strip away."""
        self._tour, self._ended, self._to_scores = None, self._tour, False
        for screen in self._app.screen_stack if self._app.is_running else ():
            screen.query(TourStrip).remove()


def _page_of(screen: Screen[Any]) -> TourPage:
    """The screen, as far as the tour is concerned: by its name, as most screens are imported only when they open."""
    pages = {"MainScreen": TourPage.MAIN, "WhyScreen": TourPage.WHY, "VerdictScreen": TourPage.VERDICT}
    return pages.get(type(screen).__name__, TourPage.OTHER)
