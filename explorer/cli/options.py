"""Command-line options: made from the fields of dataclasses, and passed to a command as the values that were typed."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from explorer.cli.examples import EXAMPLES
from explorer.cli.exits import debug_option, exit_on_error
from explorer.cli.standard_streams import one_voice, safe_streams
from explorer.config.screen_options import ScreenOptions
from probes.schema.errors import BadInput
from probes.schema.option import Option, option_name, settable
from probes.schema.prompt_source import PromptSource
from probes.schema.score import ScoreSettings
from probes.schema.settings import RunSettings, Sampling
from probes.schema.spec import CalibrationSpec, LoadOptions, PairSpec
from probes.schema.task_options import TaskOptions
from probes.system.ranks import refuse_ranks

if TYPE_CHECKING:
    from explorer.config.config_file import Config

Kind = TypeVar("Kind")
Function = TypeVar("Function", bound=Callable[..., Any])

SECTIONS: dict[type, str] = {
    PairSpec: "Models",
    TaskOptions: "Tasks",
    RunSettings: "Run",
    PromptSource: "Run",
    ScoreSettings: "Windows",
    Sampling: "Sampling",
    CalibrationSpec: "Calibration",
    LoadOptions: "Loading",
    ScreenOptions: "Screen",
}
"""The heading in the help of the options that a dataclass gives, in the order in which they are shown."""
_ELSEWHERE = {"overlap": SECTIONS[LoadOptions]}
"""Options that few people need, under another heading than that of their dataclass."""
_OWN, _ALWAYS = "Options", "Every command"
_MODELS, *_AFTER = SECTIONS.values()
_HEADINGS = ("Arguments", "Recording", "Search", "Sweep", _MODELS, _OWN, *_AFTER, "Browser", _ALWAYS)
"""What one command is about comes first, and last what any command has."""


class SectionOption(click.Option):
    """An option under a heading of the help, with older names that the help leaves out."""

    def __init__(
        self,
        *args: Any,
        section: str = _OWN,
        of_dataclass: bool = False,
        may_be_empty: bool = False,
        aliases: Sequence[str] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.section, self.of_dataclass, self.may_be_empty = section, of_dataclass, may_be_empty
        self.opts.extend(f"--{alias}" for alias in aliases)

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        shown = copy.copy(self)
        shown.opts = self.opts[:1]
        return click.Option.get_help_record(shown, ctx)


class HelpArgument(click.Argument):
    """An argument that the help explains."""

    def __init__(self, *args: Any, help: str, **kwargs: Any) -> None:  # noqa: A002 - as click calls it
        super().__init__(*args, **kwargs)
        self.record = (self.human_readable_name, help)


class ShellCommand(click.Command):
    """A command that gets its options as `Typed`, reports an error in a sentence, and has --debug.

    Only one that is `sharded` may run in several processes under torchrun. One that is `configured` takes options that
    were not typed from the user's config file: those of dataclasses, and those named in `also`.
    """

    def __init__(
        self,
        name: str | None,
        params: list[click.Parameter] | None = None,
        *,
        sharded: bool = False,
        configured: bool = False,
        also: Collection[str] = (),
        **kwargs: Any,
    ) -> None:
        self.sharded, self.configured, self.also = sharded, configured, also
        more = [no_config_option()] if configured else []
        super().__init__(name, params=[*(params or ()), *more, debug_option()], **kwargs)

    def main(self, *args: Any, **kwargs: Any) -> Any:
        with safe_streams():
            return super().main(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        in_dataclasses = {param.name for param in self.params if getattr(param, "of_dataclass", False)}
        own = {name: value for name, value in ctx.params.items() if name not in in_dataclasses}
        with exit_on_error(), one_voice():
            if not self.sharded:
                refuse_ranks(f"phier {self.name}" if self.name != "phier-tui" else "The explorer")
            assert self.callback is not None
            typed = Typed(ctx)
            if self.configured:
                names = [param.name or "" for param in self.params if getattr(param, "of_dataclass", False)]
                typed.fill_in([*names, *self.also], file=not own.pop("no_config"))
            return ctx.invoke(self.callback, typed, **own)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        found: dict[str, list[tuple[str, str]]] = {name: [] for name in _HEADINGS}
        for param in self.get_params(ctx):
            if isinstance(param, HelpArgument):
                found["Arguments"].append(param.record)
            elif (record := param.get_help_record(ctx)) is not None:
                found[getattr(param, "section", _ALWAYS)].append(record)
        if examples := EXAMPLES.get(self.name or ""):
            with formatter.section("Examples"):
                for line in examples:
                    formatter.write(f"{'':>{formatter.current_indent}}{line}\n")
        for name, records in found.items():
            if records:
                with formatter.section(name):
                    formatter.write_dl(records)


class Program(click.Group):
    """Commands whose streams take every character, from their help to their last line."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - in the order in which they were added
        return list(self.commands)

    def main(self, *args: Any, **kwargs: Any) -> Any:
        with safe_streams():
            return super().main(*args, **kwargs)


class Typed:
    """The options that were typed, by name; the others keep the defaults of their dataclasses."""

    def __init__(self, context: click.Context) -> None:
        """Raises `BadInput` for an option with an empty text, as happens with a variable of the shell that is unset."""
        self._values: dict[str, Any] = {}
        self._flags: dict[str, str] = {}
        self.config: Config | None = None
        """The config file, if it was read."""
        for param in context.command.params:
            name = param.name or ""
            typed = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
            if not typed or name not in context.params:
                continue
            self._values[name], self._flags[name] = context.params[name], param.opts[0]
            if self._values[name] in ("", ("",)) and not getattr(param, "may_be_empty", False):
                raise BadInput("Empty option", f"{param.opts[0]} is empty.", "Give it a value, or leave it out.")

    def fill_in(self, names: Collection[str], *, file: bool = True) -> None:
        """Takes those of these options that were not typed from the environment and from the user's config file.

        They are never refused as options without effect. Raises `BadInput` if either has a fault.
        """
        from explorer.config.config_file import read_config
        from explorer.config.environment import environment_options, yielding

        chosen = {**(environment_options() if "theme" in names else {}), **self._values}
        if file:
            self.config = read_config().checked()
        kept = yielding(dict(self.config.values), chosen) if self.config is not None else {}
        filled = {**kept, **chosen}
        self._values |= {name: filled[name] for name in names if name in filled}

    def get(self, name: str, default: Any = None) -> Any:
        """The value of an option; `default` if it was not typed."""
        return self._values.get(name, default)

    def build(self, kind: type[Kind], **instead: object) -> Kind:
        """The dataclass, from its own options and those of the dataclasses in it. `instead` has fields worked out from
        what was typed. Raises `BadInput`, as the dataclass does."""
        given: dict[str, object] = {}
        for field, hint, option in settable(kind):
            if field.name in instead:
                given[field.name] = instead[field.name]
            elif option is None:
                given[field.name] = self.build(hint)
            elif (name := option_name(field, option)) in self._values:
                value = self._values[name]
                given[field.name] = hint(value) if issubclass(hint, Enum) else value
        return kind(**given)

    def refuse(self, names: Collection[str], why: str, hint: str) -> None:
        """Raises `BadInput` if one of these options was typed, as it has no effect."""
        ignored = [flag for name, flag in self._flags.items() if name in names]
        if ignored:
            verb = "have" if len(ignored) > 1 else "has"
            raise BadInput("Option without effect", f"{' and '.join(ignored)} {verb} no effect {why}.", hint)


def no_config_option() -> click.Option:
    """--no-config, which leaves the user's config file unread."""
    return click.Option(["--no-config"], is_flag=True, help="Do not read the config file (`phier config`).")


def print_version(function: Function) -> Function:
    """--version."""
    return click.version_option(package_name="phier", message="%(version)s", help="Print the version.")(function)


def option(*names: str, **attributes: Any) -> Callable[[Function], Function]:
    """An option that only one command has."""
    return click.option(*names, cls=SectionOption, **attributes)


def records(default: str) -> Callable[[Function], Function]:
    """--record, as `record_to`: the file of the new recording, "" if none is named. The help says `default`."""
    described = f"Record into this new file. [default: {default}]"
    names = ("--record", "record_to")
    return option(*names, aliases=("session",), default="", metavar="FILE", section="Run", help=described)


def argument(name: str, **attributes: Any) -> Callable[[Function], Function]:
    """An argument with its `help`."""
    return click.argument(name, cls=HelpArgument, **attributes)


def takes(
    kind: type,
    *,
    only: Sequence[str] = (),
    without: Sequence[str] = (),
    required: Sequence[str] = (),
    aliases: Mapping[str, Sequence[str]] = {},
) -> Callable[[Function], Function]:
    """The options of a dataclass and of the dataclasses in it, by the names they have on the command line.

    `only` and `without` choose among them; `aliases` are more names that an option had in this command.
    """

    def add(function: Function) -> Function:
        for owner, field, hint, found in reversed(list(_options(kind))):
            name = option_name(field, found)
            if (not only or name in only) and name not in without:
                more = (*found.aliases, *aliases.get(name, ()))
                function = _made(owner, field, hint, found, name in required, more)(function)
        return function

    return add


def option_names(kind: type) -> tuple[str, ...]:
    """The names of the options that `takes` gives."""
    return tuple(option_name(field, found) for _, field, _, found in _options(kind))


def _made(
    owner: type, field: Field[Any], hint: type, found: Option, required: bool, aliases: Sequence[str]
) -> Callable[[Function], Function]:
    name = option_name(field, found)
    default = found.shown_default or _in_words(field.default)
    shown = f"{found.help} [default: {default}]" if default and not required else found.help
    kind: Any = hint if hint in (int, float) else str
    if hint is int and found.least is not None:
        kind = click.IntRange(min=found.least)
    if issubclass(hint, Enum):
        kind = click.Choice([str(member.value) for member in hint])
    return click.option(
        f"--{name.replace('_', '-')}",
        name,
        cls=SectionOption,
        section=_ELSEWHERE.get(name, SECTIONS[owner]),
        of_dataclass=True,
        may_be_empty=found.may_be_empty,
        aliases=aliases,
        required=required,
        help=shown,
        metavar="INTEGER" if hint is int else None,
        multiple=found.several,
        **({"is_flag": True} if hint is bool else {"type": kind}),
    )


def _options(kind: type) -> Iterator[tuple[type, Field[Any], type, Option]]:
    """Every option with the dataclass that it is in."""
    for field, hint, found in settable(kind):
        if found is None:
            yield from _options(hint)
        else:
            yield kind, field, hint, found


def _in_words(default: object) -> str:
    """A default as text; "" if the help should not show it."""
    if default is MISSING or default is None or default is False:
        return ""
    return f"{default:g}" if isinstance(default, float) else f"{default}"
