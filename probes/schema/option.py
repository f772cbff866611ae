"""The sentence that explains a field which people set, kept beside the field: the command line shows it."""

from __future__ import annotations

from dataclasses import Field, dataclass

_KEY = "option"


@dataclass(frozen=True, slots=True)
class Option:
    """How a field is set on the command line."""

    help: str
    shown_default: str = ""
    """The default in words; "" shows the field's own if it says something."""
    name: str = ""
    """Another name than the field's."""
    aliases: tuple[str, ...] = ()
    """Older names, which still work and which the help leaves out."""
    least: int | None = None
    may_be_empty: bool = False
    """Has an empty text a meaning here? Elsewhere it comes from a variable of the shell that is not set."""


def described(
    help: str,  # noqa: A002 - what it is called everywhere
    *,
    shown_default: str = "",
    name: str = "",
    aliases: tuple[str, ...] = (),
    least: int | None = None,
    may_be_empty: bool = False,
) -> dict[str, Option]:
    """The metadata of a field that people set."""
    return {_KEY: Option(help, shown_default, name, aliases, least, may_be_empty)}


def option_of(field: Field[object]) -> Option | None:
    """How this field is set; None if people do not set it by itself."""
    found = field.metadata.get(_KEY)
    return found if isinstance(found, Option) else None
