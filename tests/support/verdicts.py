"""A verdict of every kind of task, made by hand."""

from __future__ import annotations

from dataclasses import replace

from probes.schema.items import TaskKind
from probes.schema.task_results import GenerationFigures, OptionFigures
from probes.schema.verdict import TaskResults, Verdict
from probes.tasks.judge import judge
from tests.support.task_results import collection, counted, found, prompts, questions, ranked, spaces

SETS = (
    questions(80),
    questions(60, name="moods", kind=TaskKind.CLASSIFICATION, groups=("tone", "topic"), options=3),
    collection(40, 60),
    prompts(60),
)
OPTIONS = OptionFigures((0.5, 0.5), (0.5, 0.5), 0.8, 0.6, 0.125, 0.1, 0.9)
GENERATION = GenerationFigures(10, 5.0, 0.75, 4, 0.1, None)


def some_results() -> TaskResults:
    """Results of all items of `SETS`: facts and passages are undecided, moods and answers broken."""
    facts = [
        replace(one, options=OPTIONS, spaces=spaces(0.02, 0.08, 0.2, 0.4)) for one in counted(SETS[0], 66, 5, 3, 6)
    ]
    moods = [replace(one, options=OPTIONS) for one in counted(SETS[1], 36, 18, 2, 4)]
    passages = ranked(SETS[2], [(1, 1)] * 38 + [(1, 2)] * 2)
    answers = [
        replace(one, generation=GENERATION, spaces=spaces(0.1, 0.4, 0.6, 2.0))
        for one in counted(SETS[3], 20, 26, 1, 13)
    ]
    return found(facts, moods, passages, answers)


def some_verdict() -> Verdict:
    return judge(some_results(), SETS)
