"""The command that opens the models of a recorded run on its prompt."""

from __future__ import annotations

import shlex
from dataclasses import fields

from explorer.config.config_file import read_config
from explorer.config.screen_options import ScreenOptions
from explorer.sources.program import program
from probes.schema.header import RunHeader
from probes.schema.watch import write_watch

_LOOKS = {field.name for field in fields(ScreenOptions)}


def command_line(header: RunHeader) -> str:
    """The command with every option that is not the default; "" if the header does not name its models.

    It leaves a config file that would set other defaults unread.
    """
    if not header.dense.spec:
        return ""
    return shlex.join([program("phier-tui"), *run_words(header)])


def run_words(header: RunHeader) -> list[str]:
    """The options of a run that are not the default, as words of a command line."""
    settings, sampling = header.settings, header.settings.sampling
    pruned = header.prune.setting if header.prune else ""
    options: dict[str, object] = {
        "--dense": header.dense.spec,
        "--prune": pruned,
        "--pruned": "" if pruned else header.pruned.spec,
        "--follow": settings.follow.value,
        "--text": settings.text,
        "--temperature": _number(sampling.temperature) if sampling.temperature else "",
        "--top-k": sampling.top_k or "",
        "--top-p": _number(sampling.top_p) if sampling.top_p < 1 else "",
        "--seed": sampling.seed or "",
        "--analysis-temperature": settings.analysis_temperature or "",
        "--watch": write_watch(settings.watch),
        "--chat-template": settings.chat_template,
        "--prompt": settings.prompt,
        "--begun": settings.begun,
    }
    words = [word for name, value in options.items() if value != "" for word in (name, str(value))]
    words += [word for turn in settings.turns for word in ("--turn", f"{turn.role}={turn.content}")]
    words += [word for arg in settings.template_args for word in ("--template-arg", str(arg))]
    flags = [*(["--raw"] if settings.raw else []), *(["--no-config"] if _sets_defaults() else [])]
    return [*words, *flags]


def _number(value: float) -> str:
    """A number in as few digits as read back to it."""
    return brief if float(brief := f"{value:g}") == value else repr(value)


def _sets_defaults() -> bool:
    config = read_config()
    return bool(config.faults) or any(name not in _LOOKS for name in config.values)
