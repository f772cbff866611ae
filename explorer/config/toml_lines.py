"""Finds the lines of names in a TOML text, for sentences about them: Python's own reader tells no lines."""

from __future__ import annotations

import re

_HEADER = re.compile(r"^\s*\[\s*([\w.\-\"']+)\s*\]")
_NAME = re.compile(r"^\s*([\w\-]+|\"[^\"]*\"|'[^']*')\s*(?:\.\s*([\w\-]+|\"[^\"]*\"|'[^']*')\s*)?=")
_QUOTES = re.compile(r'"""|\'\'\'')


def lines_of_names(text: str) -> dict[tuple[str, str], int]:
    """Line numbers, from 1, by section and name; by section and "" for a section's own line.

    A name before all sections is a section without names. Lines within texts of several lines are left out.
    """
    found: dict[tuple[str, str], int] = {}
    section, inside = "", ""
    for number, line in enumerate(text.splitlines(), 1):
        if inside:
            inside = "" if line.count(inside) % 2 else inside
            continue
        if header := _HEADER.match(line):
            section = header[1].strip("\"'")
            found.setdefault((section, ""), number)
        elif name := _NAME.match(line):
            first, second = (part.strip("\"'") if part else "" for part in name.groups())
            found.setdefault((section, first) if section else (first, second), number)
            if not section:
                found.setdefault((first, ""), number)
            marks = _QUOTES.findall(line.partition("=")[2])
            inside = marks[0] if marks and marks.count(marks[0]) % 2 else ""
    return found
