"""Scores second models against a saved reference, without the dense model: the KL is bounded from both sides."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from probes.checkpoints.foreign import with_named_drops
from probes.models.loaded import Loaded, load
from probes.schema.errors import BadInput
from probes.schema.score import Scores
from probes.schema.spec import LoadOptions
from probes.system.progress import UNWATCHED, Work
from probes.system.ranks import refuse_ranks
from probes.system.threads import use_threads
from probes.tasks.many_positions import ManyPositions
from probes.tasks.position_sums import PositionFigures
from probes.tasks.reference import Reference, tokenizer_digest
from probes.tasks.reference_bounds import BoundedRows, KeptRows, bound_rows
from probes.tasks.score_tally import ScoreTally
from probes.tasks.scored_windows import LOGITS, SCORING, batches_of, pass_size, positions_of
from probes.tasks.text_files import digest_of, text_files
from probes.tasks.token_kinds import TokenKinds
from probes.tasks.token_windows import TokenWindow, window_settings

_FEW = 64
"""Windows whose records are in memory at once."""


def load_alone(spec: str, options: LoadOptions, work: Work = UNWATCHED) -> Loaded:
    """Loads a model to score against a reference. Raises what `load` raises."""
    refuse_ranks("Scoring against a reference")
    loaded = with_named_drops(load(spec, options, work, drops_obeyed=True), work).loaded
    use_threads(loaded.model, options.threads)
    return loaded


def check_reference(reference: Reference, files: Sequence[str | Path] = ()) -> None:
    """Raises `BadInput` if the reference is of other texts than these files, if any are named."""
    if files and digest_of(text_files([str(name) for name in files])) != reference.header.text_digest:
        names = ", ".join(reference.header.texts)
        message = f"{reference.path.name} is of other texts: of {names}, as they were."
        raise BadInput("Another text", message, "Leave the files out: the reference holds their tokens.")


def score_against(reference: Reference, loaded: Loaded, work: Work = UNWATCHED) -> Scores:
    """Scores one model against a reference. `kl` is the lower bound of the mean, `kl_upper` the upper one; the groups
    and quantiles are of the lower bound. What needs the dense model's whole distribution is None.

    Raises `BadInput` if the model has another tokenizer or fewer tokens than the reference, or can't read its windows.
    """
    header = reference.header
    _check_same(reference, loaded)
    reader = ManyPositions(loaded.model)
    window_settings(header.settings, loaded.model)
    tally, kinds = ScoreTally(loaded.info.name, bounded=True), TokenKinds(loaded.tokenizer)
    rows, done = reference.windows(), 0
    while held := list(islice(rows, _FEW)):
        kept = iter(held)
        for batch in batches_of([window for window, _ in held], pass_size(reader)):
            work.report(SCORING, done, header.tokens, "tokens")
            found = list(_bounded(reader, batch, [next(kept)[1] for _ in batch], header.vocabulary, work))
            places = np.concatenate([np.arange(window.first, len(window.ids)) for window in batch])
            numbers = np.repeat(np.arange(len(batch)), [window.scored for window in batch])
            of_kind = np.concatenate([kinds.of(window.ids, window.first) for window in batch])
            upper = np.concatenate([upper for _, upper in found])
            tally.add(PositionFigures.joined([one for one, _ in found]), numbers, places, of_kind, upper)
            done += sum(len(window.ids) for window in batch)
    work.report(SCORING, done, header.tokens, "tokens")
    return Scores(
        dense=header.dense.name,
        texts=header.texts,
        window=header.settings.window,
        stride=header.settings.stride,
        scored=header.settings.scored,
        tokens=header.tokens,
        rows=(tally.result(),),
        notes=tuple(dict.fromkeys((*loaded.notes, _described(reference)))),
    )


def _bounded(
    reader: ManyPositions, batch: Sequence[TokenWindow], kept: Sequence[KeptRows], vocabulary: int, work: Work
) -> Iterator[tuple[PositionFigures, np.ndarray]]:
    """The figures of a batch's positions, a slice at a time, with the upper bounds of the KL."""
    states = positions_of(reader, batch)
    every = KeptRows.joined(kept)
    targets = torch.tensor([token for window in batch for token in window.ids[window.first :]])
    at_once = max(1, LOGITS // vocabulary)
    room = reader.room(at_once)
    for start in range(0, len(targets), at_once):
        work.check(SCORING)
        rows = slice(start, start + at_once)
        logits = reader.logits(states[rows], room)[:, :vocabulary].cpu()
        yield _figures(every[rows], bound_rows(every[rows], logits, targets[rows]))


def _figures(kept: KeptRows, found: BoundedRows) -> tuple[PositionFigures, np.ndarray]:
    log_total, log_p = kept.log_total.numpy(), kept.log_p.numpy()
    finite_dense = np.isfinite(log_total)
    whole = finite_dense & (found.finite > 0)
    unknown = np.full(len(log_p), np.nan)

    def known(column: np.ndarray) -> np.ndarray:
        return np.where(whole, column, np.nan)

    figures = PositionFigures(
        finite_dense=finite_dense.astype(np.float64),
        finite_pruned=found.finite,
        log_p=known(log_p),
        log_q=known(found.log_q),
        top_p=known(np.exp(kept.logits[:, 0].numpy() - log_total)),
        same_top=known(found.same_top),
        rank=unknown,
        kl=known(found.lower),
        kl_reverse=unknown,
        h=unknown,
        z=unknown,
        p=unknown,
        h_estimate=unknown,
        p_estimate=unknown,
        kl_estimate=unknown,
    )
    return figures, known(found.upper)


def _check_same(reference: Reference, loaded: Loaded) -> None:
    header, name = reference.header, loaded.info.name
    if tokenizer_digest(loaded.tokenizer) != header.tokenizer_digest:
        message = f"{name} has another tokenizer than {header.dense.name}, of which {reference.path.name} is."
        raise BadInput("Another tokenizer", message, "Use a reference of a model with the same tokenizer.")
    if loaded.info.vocabulary < header.vocabulary:
        message = f"{name} has {loaded.info.vocabulary:,} tokens, and the reference is over {header.vocabulary:,}."
        raise BadInput("Fewer tokens", message, "Save a reference together with this model: add --pruned.")


def _described(reference: Reference) -> str:
    header = reference.header
    return (
        f"Against {reference.path.name}, which holds {header.top:,} of {header.vocabulary:,} logits of "
        f"{header.dense.name} at each position: the KL is between a lower and an upper bound; the rest is exact."
    )
