"""Finding rows of a list: the same keys and words as for the steps of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from explorer.state.row_search import KeptSearches, RowSearch, Searchable, SearchedRow
from explorer.ui.commands import Command
from explorer.ui.screens.reasoned_page import ReasonedPage


class FindingPage(ReasonedPage):
    """A screen whose rows can be searched. It is mixed into a list, or into a grid whose cells are its rows."""

    @property
    def searchable(self) -> Searchable:
        """What its rows can be searched for."""
        raise NotImplementedError

    @property
    def searches(self) -> KeptSearches:
        """Where its search is kept while other screens are shown."""
        raise NotImplementedError

    @property
    def list_name(self) -> str:
        """The name of its list among those that are searched."""
        return type(self).__name__

    @property
    def rows_key(self) -> object:
        """Equal as long as the rows are the same."""
        raise NotImplementedError

    def searched_rows(self) -> Sequence[SearchedRow]:
        """All rows in their order."""
        raise NotImplementedError

    @property
    def place(self) -> int:
        """The row of the cursor, from 0."""
        raise NotImplementedError

    def go_to_place(self, place: int) -> None:
        """Moves the cursor to a row."""
        raise NotImplementedError

    @property
    def search(self) -> RowSearch | None:
        """The open search."""
        return self.searches.open.get(self.list_name)

    def search_sentence(self) -> str:
        """How often it is found, and which of them the cursor is at; "" if no search is open."""
        search = self.search
        if search is None:
            return ""
        found = search.look(self.rows_key, self.searched_rows)
        return found.sentence(search.text, self.place + 1, self.searchable.one)

    def find_next(self, *, forward: bool = True, here: bool = False) -> None:
        """Goes to the next row that is found, or to the one before."""
        search = self.search
        if search is None:
            return
        found = search.look(self.rows_key, self.searched_rows)
        place = found.next_from(self.place + 1, forward=forward, here=here)
        if place is None:
            self.notify(f"{search.text} is found at no {self.searchable.one} so far.", title="Find")
            self.show()
        else:
            self.go_to_place(place - 1)

    def action_find(self) -> None:
        """Asks what to find, and goes to the first hit from the cursor on."""
        from explorer.ui.screens.find import AskFind, Findable
        from probes.schema.counting import number_of

        kind = self.searchable

        def count(text: str) -> str:
            rows = self.searched_rows()
            found = RowSearch(text, kind).look(None, lambda: rows)
            return f"{len(found.places):,} of {number_of(len(rows), kind.one)}"

        def answered(text: str | None) -> None:
            if text is not None:
                self.searches.begin(self.list_name, RowSearch(text, kind))
                self.find_next(here=True)

        about = f"A text, or a condition on the figures of {'an' if kind.one[0] in 'aeiou' else 'a'} {kind.one}."
        findable = Findable("Find in this list", about, kind.examples, self.searches.texts, count)
        self.app.push_screen(AskFind(findable), answered)

    def action_find_next(self) -> None:
        self.find_next()

    def action_find_previous(self) -> None:
        self.find_next(forward=False)

    def end_search(self) -> bool:
        """Ends the search. False if none is open."""
        if self.searches.open.pop(self.list_name, None) is None:
            return False
        self.show()
        return True


def find_command(one: str) -> Command[Any]:
    """`/`, which asks what to find among rows that are `one` each."""
    return Command(
        {"slash": "find"},
        "/",
        f"Finds {one} by a text, or by a bound on a figure such as kl>0.5.",
        label="find",
        name="Find: In this list",
        weight=52,
    )


FIND_PREVIOUS: Command[Any] = Command(
    {"N,shift+n": "find_previous"},
    "N",
    "Goes to the previous row that is found.",
    name="Find: Previous",
    when=lambda screen: screen.search is not None,
)


def find_commands(one: str, *, weight: int = 52) -> tuple[Command[Any], ...]:
    """The keys of a search: what to find, the next and the previous of it."""
    return (
        replace(find_command(one), weight=weight),
        Command(
            {"n": "find_next"},
            "n",
            "Goes to the next row that is found.",
            label="next",
            name="Find: Next",
            when=lambda screen: screen.search is not None,
            offered=lambda screen: screen.search is not None,
            weight=51,
        ),
        FIND_PREVIOUS,
    )
