"""The programs `phier` (commands in the shell) and `phier-tui` (the explorer). Nothing here imports torch."""

from __future__ import annotations

from explorer.cli.interrupted import said_when_interrupted

with said_when_interrupted():
    import copy

    import click

    from explorer.cli.bench import bench_command
    from explorer.cli.config import config_command
    from explorer.cli.doctor import doctor_command
    from explorer.cli.explain import explain_command
    from explorer.cli.explore import explore_command
    from explorer.cli.options import Program, print_version
    from explorer.cli.prompt import prompt_command
    from explorer.cli.prune import inspect_command, prune_command
    from explorer.cli.recommend import recommend_command
    from explorer.cli.recordings import compare_command, export_command, recordings_command
    from explorer.cli.repair import repair_command
    from explorer.cli.run import run_command
    from explorer.cli.score import score_command
    from explorer.cli.search import search_command
    from explorer.cli.sweep import sweep_command
    from explorer.cli.tasks import tasks_command
    from explorer.cli.verdict import verdict_command

_COMMANDS = (
    run_command,
    prompt_command,
    explain_command,
    repair_command,
    tasks_command,
    verdict_command,
    sweep_command,
    recommend_command,
    score_command,
    search_command,
    prune_command,
    inspect_command,
    recordings_command,
    compare_command,
    export_command,
    bench_command,
    config_command,
    doctor_command,
)


@click.group(cls=Program, no_args_is_help=True)
@print_version
def phier() -> None:
    """Compare a dense and a pruned language model, token by token."""


for _command in _COMMANDS:
    phier.add_command(_command)
_sessions = copy.copy(recordings_command)
_sessions.hidden = True
phier.add_command(_sessions, "sessions")  # the earlier name
phier_tui = explore_command
