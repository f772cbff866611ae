"""The models of one scoring run: the dense one, and one or more second models or settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from probes.models.loaded import Loaded, load, with_fingerprint
from probes.models.naming import names_apart
from probes.models.tokens import TokenDecoder
from probes.models.vocabulary import named_ids
from probes.pair import Pair, load_pair, pair_with_foreign
from probes.schema.errors import BadInput
from probes.schema.spec import LoadOptions, OverlapMode, PairSpec
from probes.system.progress import UNWATCHED, Work
from probes.system.ranks import refuse_ranks
from probes.system.threads import use_threads
from probes.tasks.many_positions import ManyPositions
from probes.tasks.scored_windows import SecondModel
from probes.tasks.token_windows import TokenWindow


@dataclass(frozen=True, eq=False)
class ScoredModels:
    """The dense model and those that are compared with it."""

    dense: Loaded
    seconds: tuple[SecondModel, ...]
    vocabulary: int
    """All distributions are over the ids below it: tokens of every model."""
    foreign: frozenset[int] = frozenset()
    """Ids below it that are another token in a second model."""
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @cached_property
    def reader(self) -> ManyPositions:
        """The dense model, read many positions at a time."""
        return ManyPositions(self.dense.model)

    def check_known(self, window: TokenWindow) -> None:
        """Raises `BadInput` for a token that not all models have."""
        lacking = [token for token in window.ids if token >= self.vocabulary or token in self.foreign]
        if lacking:
            piece = TokenDecoder(self.dense.tokenizer).piece(lacking[0])
            message = f"A text has {piece!r} (token {lacking[0]:,}), which not all models have."
            raise BadInput("Unknown token", message, "Leave it out of the text.")


def scored_pair(pair: Pair) -> ScoredModels:
    """The models of one pair, with its twin in its present state."""
    return _together([pair], [second_of(pair)])


def load_dense(spec: str, options: LoadOptions, work: Work = UNWATCHED) -> ScoredModels:
    """Loads a dense model alone, to save a reference of it. Raises what `load` raises."""
    refuse_ranks("Saving a reference")
    dense = with_fingerprint(load(spec, options, work))
    use_threads(dense.model, options.threads)
    vocabulary = min(dense.info.vocabulary, named_ids(dense.tokenizer))
    return ScoredModels(dense, (), vocabulary, notes=dense.notes, warnings=dense.warnings)


def load_scored(specs: Sequence[PairSpec], work: Work = UNWATCHED) -> ScoredModels:
    """Loads the dense model once, with the second models and settings of all specs.

    The settings share one twin, which holds one of them at a time. Models made elsewhere are in memory together.
    Raises what `load_pair` raises, and `BadInput` if two specs are the same.
    """
    if len(specs) > 1:
        refuse_ranks("Scoring several settings or second models at once")
    if len(set(specs)) < len(specs):
        raise BadInput("Twice the same", "A setting or model is named twice.", "Name it once.")
    made, elsewhere = ([spec for spec in specs if bool(spec.prune) is here] for here in (True, False))
    pairs: list[Pair] = []
    found: dict[PairSpec, SecondModel] = {}
    for spec in (*made, *elsewhere):
        if not pairs:
            pairs.append(load_pair(replace(spec, overlap=OverlapMode.NONE), work))
        elif spec.prune:
            pairs.append(pairs[-1].repruned(spec.prune, work))
        else:
            _, name = names_apart(spec.dense, spec.pruned)
            dense = pairs[0].dense
            other = load(spec.pruned, spec.load, work, name=name, tokenizer=dense.tokenizer, drops_obeyed=True)
            pairs.append(pair_with_foreign(dense, other, spec.calibration, work))
        found[spec] = second_of(pairs[-1])
    return _together(pairs, [found[spec] for spec in specs])


def second_of(pair: Pair) -> SecondModel:
    """The second model of a pair, in its twin's present state."""
    name = (pair.report.setting if pair.report else "") or pair.pruned.info.name
    state = pair.twin.state if pair.twin else None
    mark = f"{pair.pruned.info.fingerprint} {pair.made_by}"
    return SecondModel(name, ManyPositions(pair.pruned.model), mark, pair.twin, state)


def _together(pairs: Sequence[Pair], seconds: Sequence[SecondModel]) -> ScoredModels:
    sizes = {pair.vocabulary for pair in pairs}
    notes = [note for pair in pairs for note in pair.every_note]
    if len(sizes) > 1:
        notes.append(f"The first {min(sizes):,} tokens are compared, which all models have.")
    return ScoredModels(
        pairs[0].dense,
        tuple(seconds),
        min(sizes),
        frozenset[int]().union(*(pair.common.foreign for pair in pairs if pair.common)),
        tuple(dict.fromkeys(notes)),
        tuple(dict.fromkeys(warning for pair in pairs for warning in pair.every_warning)),
    )
