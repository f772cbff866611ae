"""Scores long texts: both models read them in windows, and the figures of all positions are added up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from probes.pair import Pair
from probes.schema.score import Scores, ScoreSettings
from probes.system.progress import UNWATCHED, Work
from probes.tasks.reference import TOP, ReferenceHeader, tokenizer_digest, writing_reference
from probes.tasks.score_checkpoint import ScoreCheckpoint
from probes.tasks.score_tally import ScoreTally
from probes.tasks.scored_models import ScoredModels, scored_pair
from probes.tasks.scored_windows import SCORING, Keep, ScoredChunk, score_windows
from probes.tasks.text_files import digest_of, read_files, text_files
from probes.tasks.token_kinds import TokenKinds
from probes.tasks.token_windows import TokenWindow, token_windows, window_settings


def score_texts(
    models: Pair | ScoredModels,
    files: Sequence[str | Path],
    settings: ScoreSettings = ScoreSettings(),  # noqa: B008 - frozen
    work: Work = UNWATCHED,
    *,
    results: Path | None = None,
    reference: Path | None = None,
    top: int = TOP,
) -> Scores:
    """Scores the texts of files and folders in the dense model and each second one.

    Distributions are at temperature 1, over the tokens of all models; the windows are those of `token_windows`. Memory
    does not grow with the texts. With `results`, an interrupted run is kept in a file beside it, from which the next
    one of the same models, texts and windows goes on.

    Raises `BadInput` for a text that can't be read and for windows the models can't read, `Failure` if memory runs out,
    and `Cancelled`.
    """
    models = scored_pair(models) if isinstance(models, Pair) else models
    paths = text_files([str(name) for name in files])
    settings = window_settings(settings, models.dense.model, *(one.reader.model for one in models.seconds))
    plan = WindowPlan(models, paths, settings, work)
    tallies = [ScoreTally(second.name) for second in models.seconds]
    kept = ScoreCheckpoint(results, plan.identity) if results else None
    done = kept.restore(tallies) if kept else 0
    kinds = TokenKinds(models.dense.tokenizer)
    saving = writing_reference(reference, plan.reference(top)) if reference else nullcontext()
    try:
        with saving as writer:
            for chunk in plan.chunks(models, work, done, writer.keep if writer else None):
                if writer:
                    writer.write(chunk.windows)
                add_chunk(tallies, chunk, kinds)
                done += len(chunk.windows)
                if kept:
                    kept.keep(tallies, done)
    except BaseException:
        if kept and done:
            kept.keep(tallies, done, now=True)
        raise
    if kept:
        kept.forget()
    return plan.scores(models, tallies)


class WindowPlan:
    """The windows of a run: counted once before anything is scored, so that a text that can't be read is reported
    first, and the time left is known."""

    def __init__(self, models: ScoredModels, paths: Sequence[Path], settings: ScoreSettings, work: Work) -> None:
        self.paths, self.settings = paths, settings
        self._tokenizer = models.dense.tokenizer
        self._models = models
        self.count = self.tokens = 0
        for window in self.windows():
            self.count, self.tokens = self.count + 1, self.tokens + len(window.ids)
            if self.count % 64 == 1:
                work.report("Reading the texts", self.tokens, unit="tokens")
            models.check_known(window)

    def windows(self) -> Iterator[TokenWindow]:
        """All windows, in order."""
        return token_windows(read_files(self.paths), self._tokenizer, self.settings)

    @property
    def identity(self) -> dict[str, object]:
        """All that determines the figures, as plain data."""
        models = self._models
        return {
            "texts": digest_of(self.paths),
            "settings": asdict(self.settings),
            "dense": [models.dense.info.fingerprint, models.dense.info.spec, models.dense.info.dtype],
            "seconds": [[second.name, second.mark] for second in models.seconds],
            "vocabulary": models.vocabulary,
        }

    def reference(self, top: int) -> ReferenceHeader:
        """The description of a reference of these windows."""
        models = self._models
        double = models.dense.model.dtype == torch.float64
        return ReferenceHeader(
            dense=models.dense.info,
            settings=self.settings,
            texts=tuple(path.name for path in self.paths),
            text_digest=digest_of(self.paths),
            tokenizer_digest=tokenizer_digest(self._tokenizer),
            vocabulary=models.vocabulary,
            top=min(top, models.vocabulary),
            logits="<f8" if double else "<f4",
        )

    def chunks(
        self, models: ScoredModels, work: Work, done: int = 0, keep: Keep | None = None
    ) -> Iterator[ScoredChunk]:
        """The figures of all windows after the first `done`. `keep` is that of `score_windows`."""
        windows = self.windows()
        read = sum(len(window.ids) for window in islice(windows, done))
        if done:
            work.report(SCORING, read, self.tokens, "tokens")
        return score_windows(
            models.reader, models.seconds, windows, models.vocabulary, work, total=self.tokens, done=read, keep=keep
        )

    def scores(self, models: ScoredModels, tallies: Sequence[ScoreTally]) -> Scores:
        """The results, once all windows are added."""
        return Scores(
            dense=models.dense.info.name,
            texts=tuple(path.name for path in self.paths),
            window=self.settings.window,
            stride=self.settings.stride,
            scored=self.settings.scored,
            tokens=self.tokens,
            rows=tuple(tally.result() for tally in tallies),
            notes=models.notes,
        )


def add_chunk(tallies: Sequence[ScoreTally], chunk: ScoredChunk, kinds: TokenKinds) -> None:
    """Adds the figures of a chunk to the sums of each second model."""
    if not tallies:
        return
    of_kind = np.concatenate([kinds.of(window.ids, window.first) for window in chunk.windows])
    for tally, figures in zip(tallies, chunk.figures, strict=True):
        tally.add(figures, chunk.numbers, chunk.places, of_kind)
