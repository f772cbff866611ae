"""A command line as it is printed: what is copied from the terminal does the same."""

from __future__ import annotations

import shlex


def on_one_line(command: str) -> str:
    """The same command on one line, without characters that a terminal acts on, for bash, ksh and zsh."""
    return " ".join(shlex.quote(word) if word.isprintable() else _escaped(word) for word in shlex.split(command))


def _escaped(word: str) -> str:
    return f"$'{''.join(map(_character, word))}'"


def _character(one: str) -> str:
    if one in "'\\":
        return f"\\{one}"
    if one.isprintable():
        return one
    return {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(one) or f"\\U{ord(one):08x}"
