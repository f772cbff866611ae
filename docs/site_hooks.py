"""What the site adds to the pages: documents from outside docs/, the keys of each screen, the help of each command."""

from __future__ import annotations

import importlib
import pkgutil
import posixpath
import re
from pathlib import Path
from typing import Any

import click
from mkdocs.structure.files import File

import explorer.ui.screens
from explorer.ui.filled_keys import with_usual_keys
from explorer.ui.screens.main import MainScreen

ROOT = Path(__file__).parents[1]
OUTSIDE = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "RELEASING.md": "releasing.md",
    "probes/tasks/items/README.md": "shipped-items.md",
    "sessions/README.md": "recordings.md",
}
"""Documents that are elsewhere in the source, and their pages."""
_LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)(#[^)\s]*)?\)")
_KEYS = re.compile(r"^<!-- keys of (\w+) -->$", re.MULTILINE)
_HELP = re.compile(r"^<!-- help of every command -->$", re.MULTILINE)


def on_files(files: Any, config: Any) -> Any:
    """Adds the documents from outside."""
    for source, page in OUTSIDE.items():
        text = (ROOT / source).read_text("utf-8")
        files.append(File.generated(config, page, content=relinked(text, source, page)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Writes the tables that are made, and links to the page of a document from outside."""
    here = page.file.src_uri
    if here not in OUTSIDE.values():
        markdown = relinked(markdown, f"docs/{here}", here)
    markdown = _KEYS.sub(lambda found: key_table(found[1]), markdown)
    return _HELP.sub(lambda _: command_help(), markdown)


def relinked(text: str, source: str, page: str) -> str:
    """A document's text with the links that lead from its file changed to those that lead from its page."""

    def link(found: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), found[1]))
        to = OUTSIDE.get(target) or target.removeprefix("docs/")
        if to == target and (ROOT / target).is_dir():
            return found[0]
        return f"]({posixpath.relpath(to, posixpath.dirname(page) or '.')}{found[2] or ''})"

    return _LINK.sub(link, text)


def key_table(screen: str) -> str:
    """The keys of a screen, from the table that its keys are made of."""
    modules = [one.name for one in pkgutil.iter_modules(explorer.ui.screens.__path__)]
    found = (getattr(importlib.import_module(f"explorer.ui.screens.{name}"), screen, None) for name in modules)
    cls = next(one for one in found if one is not None)
    rows = [
        f"| `{one.shown}` | {with_usual_keys(one.help, (cls.USUAL_KEYS, MainScreen.USUAL_KEYS))} |"
        for one in cls.COMMAND_TABLE
    ]
    return "\n".join(("| key | does |", "| --- | --- |", *rows))


def command_help() -> str:
    """The help of each command, as the shell prints it."""
    from explorer.cli.main import phier, phier_tui

    def text(name: str, command: click.Command) -> str:
        context = click.Context(command, info_name=name, terminal_width=100, max_content_width=100)
        return f"## {name}\n\n```text\n{command.get_help(context)}\n```"

    pages = [text("phier-tui", phier_tui), text("phier", phier)]
    pages += [text(f"phier {name}", command) for name, command in phier.commands.items() if not command.hidden]
    return "\n\n".join(pages)
