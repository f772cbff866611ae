"""Ends a command that goes wrong with a sentence on standard error and an exit code."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from shutil import get_terminal_size

import click

from explorer.cli.standard_streams import ReaderGone
from explorer.sources.shown_errors import take_shown
from probes.schema.errors import PhierError
from probes.schema.foreign_text import said, visible

_DEBUG: ContextVar[bool] = ContextVar("debug", default=False)


def debug_option() -> click.Option:
    """--debug, which shows the traceback of an error before its sentence."""
    return click.Option(
        ["--debug"], is_flag=True, expose_value=False, help="Show the traceback of an error.", callback=_asked
    )


@contextmanager
def exit_on_error() -> Iterator[None]:
    """Turns an error into a sentence and an exit code: 2 means bad input, 1 means the work failed."""
    try:
        yield
    except PhierError as problem:
        _trace(problem)
        _say(str(problem))  # it may quote what was typed
        raise click.exceptions.Exit(problem.exit_code) from None
    except KeyboardInterrupt:
        raise click.exceptions.Exit(130) from None
    except (click.exceptions.Exit, click.Abort, click.ClickException, ReaderGone):
        raise
    except Exception as problem:  # noqa: BLE001 - a person gets a traceback only with --debug
        _trace(problem)
        click.echo(f"Unexpected error: {said(problem)} Run it with --debug to see where.", err=True)
        raise click.exceptions.Exit(1) from None
    finally:
        for shown in take_shown():
            _trace(shown)


def _asked(_context: object, _option: object, value: bool) -> bool:
    _DEBUG.set(value)
    return value


def _trace(problem: BaseException) -> None:
    if _DEBUG.get():
        lines = "".join(traceback.format_exception(problem)).splitlines()
        _say("\n".join(lines))


def _say(text: str) -> None:
    lines = [visible(line) for line in text.split("\n")]
    if sys.stderr.isatty():
        lines = [part for line in lines for part in _on_screen(line, get_terminal_size().columns)]
    click.echo("\n".join(lines), err=True)


def _on_screen(line: str, width: int) -> list[str]:
    """The line, or several that break between words; an indented one stays as it is, as it points at the one before."""
    from explorer.words.token_text import wrapped

    return [line] if len(line) <= width or line[:1].isspace() else wrapped(line, width)
