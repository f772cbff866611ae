"""The options of commands that judge a setting on items: which items, how options are scored, margin and level."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from explorer.cli.options import option
from probes.schema.items import Way
from probes.schema.verdict import LEVEL, MARGIN_OF_SAFETY

_Function = TypeVar("_Function", bound=Callable[..., Any])


def takes_items(section: str = "Tasks") -> Callable[[_Function], _Function]:
    """--most and --way."""
    most = option(
        "--most", type=click.IntRange(min=1), metavar="N", section=section, help="Only the first N items a task."
    )
    way = option(
        "--way",
        type=click.Choice([str(way) for way in Way]),
        section=section,
        help="Score options by their letter or label, or by their whole text. [default: as the item set says]",
    )
    return lambda function: most(way(function))


def judges(section: str = "") -> Callable[[_Function], _Function]:
    """--margin and --level."""
    given = {"section": section} if section else {}
    margin = option(
        "--margin",
        type=float,
        default=MARGIN_OF_SAFETY,
        metavar="X",
        help=f"The largest loss of a score that is still safe, as a share. [default: {MARGIN_OF_SAFETY:g}, 2 points]",
        **given,
    )
    level = option(
        "--level",
        type=float,
        default=LEVEL,
        metavar="X",
        help=f"The level of the intervals. [default: {LEVEL:g}]",
        **given,
    )
    return lambda function: margin(level(function))
