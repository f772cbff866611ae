"""Describes a field as a command-line option, in the field's metadata."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import Field, dataclass, fields, is_dataclass
from typing import Any, get_args, get_type_hints

_KEY = "option"


@dataclass(frozen=True, slots=True)
class Option:
    """How a field is set on the command line."""

    help: str
    shown_default: str = ""
    """The default in words; "" shows the field's own default, if that is useful."""
    name: str = ""
    """The option's name, if it is not the field's."""
    aliases: tuple[str, ...] = ()
    """Older names, which still work and which the help leaves out."""
    least: int | None = None
    may_be_empty: bool = False
    """Does an empty text have a meaning? For other options it usually comes from an unset shell variable."""
    several: bool = False
    """May the option be repeated? Then it gives the texts that were typed, in their order."""


def described(
    help: str,  # noqa: A002 - its usual name
    *,
    shown_default: str = "",
    name: str = "",
    aliases: tuple[str, ...] = (),
    least: int | None = None,
    may_be_empty: bool = False,
    several: bool = False,
) -> dict[str, Option]:
    """The metadata of a field that is an option."""
    return {_KEY: Option(help, shown_default, name, aliases, least, may_be_empty, several)}


def option_of(field: Field[object]) -> Option | None:
    """The option of this field; None if it is not an option."""
    found = field.metadata.get(_KEY)
    return found if isinstance(found, Option) else None


def option_name(field: Field[Any], found: Option) -> str:
    """The option's name in Python's spelling."""
    return (found.name or field.name).replace("-", "_")


def settable(kind: type) -> Iterator[tuple[Field[Any], type, Option | None]]:
    """The fields that people set, each with its type, and with None for a dataclass that has options of its own."""
    hints = get_type_hints(kind)
    for field in fields(kind):
        hint = next((one for one in get_args(hints[field.name]) if one is not type(None)), hints[field.name])
        found = option_of(field)
        if found is not None or is_dataclass(hint):
            yield field, hint, found
