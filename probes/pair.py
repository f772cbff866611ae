"""A dense and a pruned model that can be compared: loaded, checked, and ready to be stepped."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import probes.models.lean_import  # noqa: F401  # before anything imports transformers
from probes.checkpoints.foreign import with_named_drops
from probes.checkpoints.missing import measure_missing
from probes.checkpoints.save import Saved, save
from probes.models.comparable import Common, check_comparable
from probes.models.loaded import Loaded, end_ids, load, with_fingerprint
from probes.models.naming import names_apart
from probes.models.prompting import Prompt, read_prompt, recorded_prompt
from probes.models.rendering import prompt_tokens
from probes.models.rotary import Rotary
from probes.models.token_named import watched_ids
from probes.models.tokens import TokenDecoder
from probes.models.vocabulary import named_ids
from probes.prune.apply import apply, known_as
from probes.prune.known import latest
from probes.prune.sharded import load_shards, without_model
from probes.schema.errors import BadInput
from probes.schema.header import PruneReport, RunHeader
from probes.schema.prune_setting import Setting
from probes.schema.settings import RunSettings
from probes.schema.spec import OWN_TEXT, CalibrationSpec, LoadOptions, OverlapMode, PairSpec
from probes.stepping.cache_check import check_steppable
from probes.stepping.cached_model import CachedModel
from probes.stepping.lockstep import Lockstep
from probes.stepping.overlap import ONE_AFTER_THE_OTHER, Overlap, choose_overlap
from probes.stepping.reading_both import longest_context
from probes.system.progress import UNWATCHED, Work
from probes.system.ranks import ranks, refuse_ranks
from probes.system.threads import use_threads
from probes.twin.twin import Twin
from probes.twin.twin_state import TwinState


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """A dense and a pruned model with the same tokens, loaded and checked."""

    dense: Loaded
    pruned: Loaded
    report: PruneReport | None
    """The measured removal, also of a model made elsewhere."""
    twin: Twin | None = None
    """The twin behind `pruned`; None if that model was made elsewhere."""
    calibration: CalibrationSpec = OWN_TEXT
    notes: tuple[str, ...] = ()
    """Sentences about the comparison that are worth showing."""
    warnings: tuple[str, ...] = ()
    """Sentences about the comparison that must not be missed."""
    common: Common | None = None
    """The tokens that both models are compared over; None takes every token that both have."""
    known: Mapping[str, TwinState] = field(default_factory=dict)
    """The twin's latest states by setting (`known_as`); returning to one of them needs no pruning."""
    overlap: Overlap = ONE_AFTER_THE_OTHER
    """How both compute a step."""

    @property
    def made_by(self) -> str:
        """The name of this twin's state among those of the dense model (`known_as`); "" for a model made elsewhere."""
        return list(self.known)[-1] if self.known else ""

    @property
    def every_note(self) -> tuple[str, ...]:
        """The notes on both models, on how they are compared, and on what was removed, each once."""
        removed = self.report.notes if self.report else ()
        return tuple(
            dict.fromkeys(
                (*self.dense.notes, *self.pruned.notes, *filter(None, [self.overlap.note]), *self.notes, *removed)
            )
        )

    @property
    def every_warning(self) -> tuple[str, ...]:
        """The warnings about both models, how they are compared, and what was removed, each once."""
        removed = self.report.warnings if self.report else ()
        return tuple(dict.fromkeys((*self.dense.warnings, *self.pruned.warnings, *self.warnings, *removed)))

    def cached_models(self) -> tuple[CachedModel, CachedModel]:
        """Both models with empty caches of their own, which compute a step as the pair does (`overlap`)."""
        return self.overlap.models(self.dense.model, self.pruned.model)

    def close(self) -> None:
        """Ends what the models need to compute at the same time. They can be used further on, more slowly."""
        self.overlap.close()

    def prompt(self, settings: RunSettings) -> Prompt:
        """The tokens that both models read in a run; made once a run. Raises `BadInput` if the prompt or text can't be
        used."""
        return read_prompt(self.dense.tokenizer, settings)

    def recorded_prompt(self, header: RunHeader) -> Prompt:
        """The prompt of a recorded run. Raises `BadInput` if this tokenizer makes other tokens of it."""
        return recorded_prompt(self.dense.tokenizer, header)

    def lockstep(
        self, settings: RunSettings, prompt: Prompt | None = None, *, dense: CachedModel | None = None
    ) -> Lockstep:
        """Both models on a prompt, before the first step. Without `prompt`, that of the settings is read; `dense` is
        the dense model with a cache of its own.

        Raises `BadInput` if the prompt or text can't be used.
        """
        prompt = prompt or self.prompt(settings)
        models = self.cached_models()
        return Lockstep(
            dense or models[0],
            models[1],
            TokenDecoder(self.dense.tokenizer),
            prompt.ids,
            settings,
            ends_dense=end_ids(self.dense, settings),
            ends_pruned=end_ids(self.pruned, settings),
            text_ids=prompt.text_ids,
            vocabulary=self.vocabulary,
            foreign=self.common.foreign if self.common else frozenset(),
            watched=watched_ids(self.dense.tokenizer, settings.watch),
        )

    @property
    def vocabulary(self) -> int:
        """The ids below this number are tokens of both models, over which they are compared."""
        named = named_ids(self.dense.tokenizer, self.pruned.tokenizer)
        return min(named, self.common.size) if self.common else named

    def header(self, settings: RunSettings, prompt: Prompt) -> RunHeader:
        """The header of a run; `prompt` is the one that its lockstep reads."""
        tokens = prompt_tokens(self.dense.tokenizer, prompt.ids)
        return RunHeader(
            dense=self.dense.info,
            pruned=self.pruned.info,
            prune=self.report,
            settings=settings,
            prompt_text=prompt.text,
            prompt_ids=prompt.ids,
            prompt_pieces=tuple(token.token for token in tokens),
            prompt_special=tuple(place for place, token in enumerate(tokens) if token.kind == "special"),
            prompt_added=tuple(place for place, token in enumerate(tokens) if token.kind == "added"),
            text_ids=prompt.text_ids,
            room=max(0, self._room(prompt)),
            versions={
                "phier": version("phier"),
                "torch": version("torch"),
                "transformers": version("transformers"),
                "python": platform.python_version(),
            },
            started=datetime.now(UTC).isoformat(timespec="seconds"),
            notes=(*self.every_note, *prompt.notes, *_cut_by_steps(settings, prompt)),
            warnings=(*self.every_warning, *prompt.warnings, *self._cut_by_context(settings, prompt)),
        )

    def _room(self, prompt: Prompt) -> int:
        """The most steps after a prompt; 0 or less if it is too long itself."""
        return longest_context(self.dense.model, self.pruned.model) - len(prompt.ids) + 1

    def _cut_by_context(self, settings: RunSettings, prompt: Prompt) -> tuple[str, ...]:
        longest = longest_context(self.dense.model, self.pruned.model)
        scored = self._room(prompt)
        if scored < 1 or min(len(prompt.text_ids), settings.longest) <= scored:
            return ()
        return (
            f"The text has {len(prompt.text_ids):,} tokens, but the models read at most {longest:,}: only the first "
            f"{scored:,} are scored.",
        )

    def save(self, folder: Path, work: Work = UNWATCHED) -> Saved:
        """Writes the pruned model as a plain folder that others can load. Raises what `checkpoints.save`
        raises."""
        if self.twin is None or self.report is None:
            raise BadInput("Nothing to save", f"{self.pruned.info.name} was not pruned here.", "Copy its folder.")
        return save(self.dense, self.twin, self.report, folder, work)

    def repruned(self, setting: Setting, work: Work = UNWATCHED) -> Pair:
        """The same dense model with its twin made by another setting; the twin is changed in place.

        Only masks and replaced matrices are exchanged. An earlier setting comes back at once, bit for bit, unless a
        file that it reads has changed. On any error the twin, and so this pair, stays as it was. A second model made
        elsewhere is released, and the dense model gets a twin.
        """
        refuse_ranks("Pruning again")
        made = pair_with_twin(self.dense, setting, self.calibration, work, twin=self.twin, known=self.known)
        return replace(made, overlap=self.overlap.renewed(self.dense.model))


def _cut_by_steps(settings: RunSettings, prompt: Prompt) -> tuple[str, ...]:
    if len(prompt.text_ids) <= settings.longest:
        return ()
    return (f"The text has {len(prompt.text_ids):,} tokens; only the first {settings.longest:,} are scored (--steps).",)


def load_pair(spec: PairSpec, work: Work = UNWATCHED) -> Pair:
    """Loads the dense model, and loads or makes the pruned one. Raises what `load` and `apply` raise.

    If torchrun started several processes, each gets its part of both models, and must call this.
    """
    if ranks() > 1:
        if spec.overlap in (OverlapMode.THREADS, OverlapMode.PROCESS):
            refuse_ranks(f"--overlap {spec.overlap}")
        return _load_sharded(spec, work)
    pair = _load_whole(spec, work)
    models = pair.dense.model, pair.pruned.model
    return replace(pair, overlap=choose_overlap(*models, spec.overlap, spec.load.threads))


def _load_sharded(spec: PairSpec, work: Work) -> Pair:
    """The first process loads the pair whole, prunes it and checks it; the others get what it found."""

    def whole() -> tuple[Pair, Loaded, Loaded, TwinState]:
        pair = _load_whole(spec, work)
        dense, pruned = without_model(pair.dense), without_model(pair.pruned)
        known = dict.fromkeys(pair.known, TwinState())
        found = replace(pair, dense=dense, pruned=pruned, twin=None, known=known)
        return found, pair.dense, pair.pruned, pair.twin.state if pair.twin else TwinState()

    found, dense, pruned = load_shards(spec, whole, work)
    return replace(found, dense=dense, pruned=pruned)


def _load_whole(spec: PairSpec, work: Work) -> Pair:
    name, name_pruned = names_apart(spec.dense, spec.pruned) if spec.pruned else ("", "")
    dense = load_dense(spec.dense, spec.load, work, name=name)
    if spec.prune:
        return pair_with_twin(dense, spec.prune, spec.calibration, work)
    pruned = load(spec.pruned, spec.load, work, name=name_pruned, tokenizer=dense.tokenizer, drops_obeyed=True)
    return pair_with_foreign(dense, pruned, spec.calibration, work)


def load_dense(spec: str, options: LoadOptions, work: Work = UNWATCHED, *, name: str = "") -> Loaded:
    """Loads the dense model of a pair, with its fingerprint, and checks that it can be stepped."""
    dense = with_fingerprint(load(spec, options, work, name=name))
    dense = with_notes(dense, use_threads(dense.model, options.threads), _on_lengths(dense))
    check_steppable(dense)
    return dense


def with_notes(loaded: Loaded, *sentences: str) -> Loaded:
    """The same model with more notes; "" adds none."""
    return replace(loaded, notes=(*loaded.notes, *filter(None, sentences)))


def _on_lengths(loaded: Loaded) -> str:
    """A note if the model's rotary factors depend on the length of the context; else ""."""
    note = Rotary(loaded.model).note
    return note and f"{loaded.info.name}: {note}"


def _on_padding(*models: Loaded) -> tuple[str, ...]:
    """A note if the models have logits for ids that the tokenizer does not name."""
    first, named = models[0].info, named_ids(*(one.tokenizer for one in models))
    if min(one.info.vocabulary for one in models) <= named:
        return ()
    return (
        f"{first.name} has logits for {first.vocabulary:,} ids, but its tokenizer names only the first {named:,}; "
        "the others are left out of both distributions.",
    )


def pair_with_foreign(
    dense: Loaded, pruned: Loaded, calibration: CalibrationSpec = OWN_TEXT, work: Work = UNWATCHED
) -> Pair:
    """Pairs a dense model with one made elsewhere: carries out the drops that the second one names, and measures what
    it lacks.

    `pruned` was loaded with `drops_obeyed`. `calibration` is for twins that are made of the dense model later.
    """
    common = check_comparable(dense, pruned)
    notes = (*common.notes, *_on_padding(dense, pruned))
    found = with_named_drops(pruned, work)
    check_steppable(found.loaded)
    report = measure_missing(found, dense, work)
    # Drops do not change the weights, so the fingerprint is that of the files.
    info = with_fingerprint(found.plain).info
    run = with_notes(replace(found.loaded, info=info), _on_lengths(pruned))
    return Pair(dense, run, report, calibration=calibration, notes=notes, warnings=common.warnings, common=common)


def pair_with_twin(
    dense: Loaded,
    setting: Setting,
    calibration: CalibrationSpec = OWN_TEXT,
    work: Work = UNWATCHED,
    *,
    twin: Twin | None = None,
    known: Mapping[str, TwinState] | None = None,
) -> Pair:
    """Pairs the dense model with a twin that shares every untouched tensor, pruned by a setting.

    A given `twin` is changed in place; `known` are its states by setting.
    """
    twin = twin or Twin(dense.model)
    known, before = known or {}, twin.state
    report = apply(twin, setting, dense, calibration, known=known, all_listed=True, work=work)
    name = known_as(setting, calibration)
    info = replace(dense.info, name=f"{dense.info.name} {setting}", fingerprint="")
    made = Loaded(twin.model, dense.tokenizer, info)
    try:
        if twin.state.dropped:
            check_steppable(made)
    except BaseException:
        twin.set_state(before)
        raise
    return Pair(
        dense,
        made,
        report,
        twin,
        calibration,
        notes=_on_padding(dense),
        known=latest(known, name, twin.state),
    )
