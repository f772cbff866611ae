"""How a command ends when something goes wrong: a sentence on standard error, and an exit code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from probes.errors import PhierError


@contextmanager
def told() -> Iterator[None]:
    """Turns errors that are meant for a person into a sentence and an exit code: 2 for bad input, 1 for failure."""
    try:
        yield
    except PhierError as problem:
        typer.echo(str(problem), err=True)
        raise typer.Exit(problem.exit_code) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
