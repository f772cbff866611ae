"""The key of a cell: a hash of each thing that its figures depend on.

A hash changes if and only if what it names changes. So what has no effect is left out (the name of a file, the seed of
a setting that draws nothing), and what is meant by a default is written out.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

import msgspec

from probes.calibration import own_text
from probes.calibration.samples import LENGTH, SAMPLES
from probes.calibration.texts import check_source
from probes.prune.allocation import table_text
from probes.prune.store import VERSION
from probes.schema.items import ItemSet, TaskKind, Way
from probes.schema.prune_setting import FittedShare, Method, Setting, SettingPart, Table
from probes.schema.spec import CalibrationSpec
from probes.schema.sweep import CellKey, PromptTask
from probes.schema.task_options import Pooling, TaskOptions
from probes.sweep.jobs import DenseFacts
from probes.system.cache_folder import hash_file
from probes.system.progress import UNWATCHED

_DIGITS = 12


def cell_key(
    dense: DenseFacts,
    spec: str,
    setting: Setting,
    calibration: CalibrationSpec,
    task: ItemSet | PromptTask,
    options: TaskOptions,
    seed: int | None,
) -> CellKey:
    """The key of one setting on one task with one seed. `spec` is the name that the person gave to the dense model.

    Raises `BadInput` if a file that the setting or the calibration reads can't be read.
    """
    if seed is not None:
        calibration = replace(calibration, seed=seed)
    return CellKey(
        model=model_hash(dense),
        setting=setting_hash(setting),
        calibration=calibration_hash(dense, spec, setting, calibration),
        task=prompt_hash(task) if isinstance(task, PromptTask) else items_hash(task, options),
        seed=seed_hash(setting, calibration, task, seed),
    )


def model_hash(dense: DenseFacts) -> str:
    """Of the weights, the settings that the model computes with, the dtype, and the kind of device."""
    return _hash(dense.fingerprint or dense.name, dense.configuration, dense.dtype, dense.device)


def setting_hash(setting: Setting) -> str:
    """Of the setting's text, in which the content of a file replaces its name, and of the version of the methods."""
    return _hash(VERSION, str(Setting(tuple(map(_with_content, setting.parts)))))


def calibration_hash(dense: DenseFacts, spec: str, setting: Setting, calibration: CalibrationSpec) -> str:
    """Of the text's content, the number of samples and their length; "" if no part of the setting is calibrated."""
    if not any(part.calibrated for part in setting.parts):
        return ""
    number = calibration.samples or SAMPLES
    length = calibration.length or min(LENGTH, dense.context or LENGTH)
    if calibration.source not in ("", "self"):
        path = check_source(calibration.source)
        text = hash_file(path, UNWATCHED, "") if path else f"data set {calibration.source}"
    else:
        shipped = own_text.shipped(calibration.seed or 0, number, length) if spec == "demo" else None
        text = own_text.recipe() if shipped is None else hashlib.sha256(shipped.numpy().tobytes()).hexdigest()
    return _hash(text, number, length)


def items_hash(items: ItemSet, options: TaskOptions) -> str:
    """Of the items, their wording and way, and the options that this kind of task reads. The name has no effect."""
    read: dict[str, Any] = {}
    if items.kind is TaskKind.RETRIEVAL:
        read = {"pooling": options.pooling or items.pooling, "refuse_long": options.refuse_long}
    elif items.kind is TaskKind.GENERATION:
        read = {"new_tokens": options.new_tokens}
    if items.kind not in (TaskKind.OPTIONS, TaskKind.CLASSIFICATION):
        items = replace(items, way=Way.LETTER)
    plain = replace(items, name="", digest="", notes=(), pooling=Pooling.MEAN)
    return _hash(hashlib.sha256(msgspec.json.encode(plain)).hexdigest(), read)


def prompt_hash(prompt: PromptTask) -> str:
    """Of the prompt and how it is stepped, without the seed of sampling. The name has no effect."""
    sampling = prompt.sampling
    drawn = None if sampling.greedy else [sampling.temperature, sampling.top_k, sampling.top_p]
    return _hash("prompt", prompt.prompt, prompt.raw, prompt.follow, prompt.steps, drawn)


def seed_hash(setting: Setting, calibration: CalibrationSpec, task: ItemSet | PromptTask, seed: int | None) -> str:
    """Of the seeds that something is drawn by: weights, calibration samples, tokens; "" if nothing is.

    `calibration` has the cell's seed; `seed` is the cell's, or None for that of the prompt.
    """
    drawn: dict[str, int | None] = {}
    if any(part.method is Method.RANDOM for part in setting.parts):
        drawn["weights"] = calibration.seed or 0
    if any(part.calibrated for part in setting.parts):
        if calibration.source in ("", "self"):
            drawn["calibration"] = calibration.seed or 0
        elif calibration.seed is not None:  # without a seed, the first samples of a text are taken
            drawn["calibration"] = calibration.seed
    if isinstance(task, PromptTask) and not task.sampling.greedy:
        drawn["tokens"] = task.sampling.seed if seed is None else seed
    return _hash(drawn) if drawn else ""


def _with_content(part: SettingPart) -> SettingPart:
    """The part with the hash of its file's content in the place of the file's name."""
    if not isinstance(part.amount, (Table, FittedShare)):
        return part
    content = hashlib.sha256(table_text(part.file).encode()).hexdigest()
    return replace(part, amount=replace(part.amount, path=content))


def _hash(*depends: object) -> str:
    return hashlib.sha256(json.dumps(depends).encode()).hexdigest()[:_DIGITS]
