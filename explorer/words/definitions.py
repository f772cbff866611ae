"""The definition of every figure on a panel: its formula, what it means in a sentence, its range and its source.

The formulas and ranges are those of docs/figures.md, with which a test compares them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from explorer.words.explanations import PAPER
from explorer.words.figures import FIGURES, Better, figure_name
from explorer.words.summary_figures import SUMMARY_FIGURES

_ONE, _TWO, _THREE = (f"{PAPER}, Theorem {number}" for number in (1, 2, 3))


@dataclass(frozen=True, slots=True)
class Definition:
    """What one figure is."""

    key: str
    """Its key in `FIGURES` or `SUMMARY_FIGURES`: "p.kl", "half_life"; of other figures one of its own."""
    formula: str
    sentence: str
    """In plain words."""
    range: str = ""
    """Its range, and what no change gives."""
    source: str = PAPER
    label: str = ""
    """Its name, if it is no figure of a step or a run; so are the two below."""
    measured_in: str = ""
    direction: Better = Better.NEITHER

    @property
    def name(self) -> str:
        """Its label on the panels, with the space it is of."""
        if self.label:
            return self.label
        return figure_name(self.key) if self.key in FIGURES else SUMMARY_FIGURES[self.key].label

    @property
    def better(self) -> Better:
        if self.label:
            return self.direction
        return (FIGURES[self.key] if self.key in FIGURES else SUMMARY_FIGURES[self.key]).better

    @property
    def unit(self) -> str:
        if self.label:
            unit = self.measured_in
        else:
            unit = FIGURES[self.key].unit if self.key in FIGURES else SUMMARY_FIGURES[self.key].unit
        return {"": "none", "nat": "nats", "step": "a step's number"}.get(unit, unit)

    def matches(self, typed: str) -> bool:
        """Is every word that was typed in its name, its key or its sentence?"""
        text = f"{self.name} {self.key} {self.sentence}".lower()
        return all(word in text for word in typed.lower().split())

    def rank(self, typed: str) -> tuple[int, int]:
        """How well it matches what was typed, the best lowest: its name begins with it (the shorter the better), its
        key does, or it is within them; its sentence alone comes last."""
        wanted, name, key = " ".join(typed.lower().split()), self.name.lower(), self.key.lower()
        if name.startswith(wanted):
            return 0, len(name)
        if key.startswith(wanted):
            return 1, len(key)
        return (2 if wanted in f"{name} {key}" else 3), 0


def _definitions() -> Iterator[Definition]:
    d = Definition
    yield d("h.cos", "cosine of h and h'", "How far the hidden state still points where it did.", "−1…1, 1")
    yield d("h.angle", "the angle in degrees", "The same as an angle: 90° means nothing in common.", "0…180, 0")
    yield d("h.length_ratio", "‖h'‖ / ‖h‖", "How much the hidden state grew or shrank.", "1")
    yield d("h.parallel", "|α|, α = ⟨Δh, h⟩/‖h‖²", "The part of the change that only rescales the hidden state.", "0")
    yield d("h.orthogonal", "‖Δh − αh‖/‖h‖", "The part of the change that turns the hidden state.", "0")
    yield d("h.gap", "1 − `h.cos`", "What the cosine has lost.", "0…2, 0")
    yield d(
        "h.cos_estimate",
        "‖Δh⊥‖² / (2‖h‖²)",
        "Estimates 1 − cosine from how far the hidden state turned; good while the change is small.",
        "0",
        _ONE,
    )
    yield d(
        "h.ratio",
        "`h.cos_estimate` / (1 − `h.cos`)",
        "How good the estimate of 1 − cosine is: 1 is exact.",
        "1 for a small change",
        _ONE,
    )
    yield d(
        "z.cos",
        "cosine of z and z'",
        "Of the raw logits: a constant added to all of them changes it, though no prediction.",
        "changes when a constant is added to all logits, though softmax does not",
    )
    yield d(
        "z.cos_centred",
        "cosine of z − mean(z) and z' − mean(z')",
        "The cosine after each model's mean logit is subtracted; trust this one.",
        "−1…1, 1",
    )
    yield d("z.l2", "‖Δz‖₂", "The length of the change of all logits.", "0")
    yield d("z.rms", "root mean square of Δz", "The typical change of a logit, a shift of all of them included.", "0")
    yield d("z.mean_abs", "mean of |Δz|", "The mean change of a logit, without its sign.", "0")
    yield d("z.max_abs", "largest |Δz|", "The largest change of any logit.", "0")
    yield d(
        "z.rms_centred",
        "standard deviation of Δz over the vocabulary",
        "The typical change of a logit beside the shift of all.",
        "0",
    )
    yield d(
        "z.top5_rms",
        "root mean square of Δz over the dense model's five largest logits",
        "The change among the tokens that count.",
        "0",
    )
    yield d("z.parallel", "|α|, α = ⟨Δz, z⟩/‖z‖²", "The part of the change that only rescales the logits.", "0")
    yield d("z.orthogonal", "‖Δz − αz‖/‖z‖", "The part of the change that turns the logits.", "0")
    yield d(
        "p.kl",
        "Σ p log(p/q)",
        "How many nats more the pruned model is surprised, on average, by tokens that the dense one writes.",
        "0…∞, 0",
    )
    yield d("p.kl_reverse", "Σ q log(q/p)", "The same with the two models swapped.", "0…∞, 0")
    yield d(
        "p.js",
        "½ KL(p‖m) + ½ KL(q‖m), m = (p+q)/2",
        "A KL that treats both alike and is never infinite.",
        "0…ln 2, 0",
        "Jensen–Shannon divergence",
    )
    yield d(
        "p.tv",
        "½ Σ |p − q|",
        "The most by which the two probabilities of any set of tokens differ.",
        "0…1, 0",
        "Total variation",
    )
    yield d(
        "p.cos",
        "cosine of p and q",
        "How alike the two lists of probabilities are, mostly of the likeliest tokens.",
        "0…1, 1",
    )
    yield d("p.gap", "1 − `p.cos`", "What that cosine has lost.", "0…1, 0")
    yield d(
        "p.entropy_dense", "−Σ p log p", "How undecided the dense model is: 0 is certain.", "0…ln V", "Shannon entropy"
    )
    yield d("p.entropy_pruned", "−Σ q log q", "How undecided the pruned model is.", "0…ln V", "Shannon entropy")
    yield d(
        "p.kl_estimate",
        "Var over p of Δz, divided by 2T²",
        "Estimates the KL from the spread of the logits' changes; good while they are small.",
        "0",
        _THREE,
    )
    yield d(
        "p.kl_ratio",
        "`p.kl_estimate` / `p.kl`",
        "How good that estimate is: 1 is exact; far from it the change is not small.",
        "1 for a small change",
        _THREE,
    )
    yield d(
        "p.cos_estimate",
        "Var over r of Δz, divided by 2T², r = p²/‖p‖²",
        "Estimates 1 − cosine of p from the spread of the logits' changes; good while they are small.",
        "0",
        _TWO,
    )
    yield d(
        "p.cos_ratio",
        "`p.cos_estimate` / (1 − `p.cos`)",
        "How good that estimate is: 1 is exact.",
        "1 for a small change",
        _TWO,
    )
    yield d(
        "p.rank_dense_in_pruned",
        "rank of the dense model's likeliest token in q",
        "Where the dense model's first token is in the pruned model's order.",
        "1",
    )
    yield d(
        "p.rank_pruned_in_dense",
        "rank of the pruned model's likeliest token in p",
        "Where the pruned model's first token is in the dense model's order.",
        "1",
    )
    yield d(
        "p.topk_overlap",
        "share of the dense top k that is in the pruned top k",
        "How many of the likeliest tokens are still among them.",
        "0…1, 1",
    )
    yield d(
        "p.amplification_h",
        "(1 − cos p) / (1 − cos h)",
        "How much a change of the hidden state grew on its way to the probabilities.",
        "a dash where the denominator is below float noise",
    )
    yield d(
        "p.amplification_z",
        "(1 − cos p) / (1 − centred cos z)",
        "How much a change of the logits grew in the probabilities.",
        "a dash where the denominator is below float noise",
    )
    yield d("watched.kl", "Σ p̂ log(p̂/q̂)", "The KL among the watched groups alone.", "0…∞, 0")
    yield d("watched.kl_reverse", "Σ q̂ log(q̂/p̂)", "The same with the two models swapped.", "0…∞, 0")
    yield d("watched.cos", "cosine of p̂ and q̂", "How alike the shares among the watched groups are.", "0…1, 1")
    yield d(
        "watched.mass_dense",
        "m = Σ p_i",
        "The probability that all watched groups hold together in the dense model.",
        "0…1, equal",
    )
    yield d("watched.mass_pruned", "m' = Σ q_i", "The same in the pruned model.", "0…1, equal")
    yield d(
        "sum.kl",
        "Σ KL, each model on its own context",
        "The KL of all steps so far.",
        "in `free` after the texts diverge it holds drift as well; ends with either text",
    )
    yield d(
        "sum.survival",
        "Π (1 − TV) on the shared context",
        "The chance that two optimally coupled samplers would still have written the same text.",
        "1, falling",
    )
    yield d("steps", "all steps", "How many steps there are.", "equal")
    yield d("compared", "those at which both models write and are valid", "How many steps are compared.", "equal")
    yield d(
        "invalid", "those at which one computes NaN or infinity", "Such steps have no figures and are in no sum.", "0"
    )
    yield d(
        "kl_shared_sum",
        "Σ KL on the shared context",
        "The KL of all steps so far, both models on one text: pruning alone.",
        "0",
    )
    yield d(
        "kl_sum",
        "Σ KL, each model on its own context",
        "The KL of all steps so far, each model on its own text: pruning and drift.",
        "0",
    )
    yield d(
        "kl_shared_both",
        "Σ KL on the shared context, over the steps of `kl_sum`",
        "Pruning alone, while both models write.",
        "0; the effect of pruning while both models write",
    )
    yield d(
        "drift",
        "Σ KL on own contexts − KL on the shared one, over the same steps",
        "What the texts having diverged adds.",
        "0; the effect of the texts having diverged",
    )
    for end, word in (
        ("mean", "mean"),
        ("median", "median"),
        ("p90", "percentiles"),
        ("p99", "percentiles"),
        ("max", "largest"),
    ):
        sentence = {"p90": "Nine steps of ten have a smaller KL.", "p99": "99 steps of 100 have a smaller KL."}
        yield d(f"kl_shared.{end}", word, sentence.get(end, f"The {word} KL of a step, on the shared context."), "0")
    yield d(
        "survival",
        "Π (1 − TV) on the shared context",
        "The chance that two optimally coupled samplers would still have written the same text.",
        "1",
    )
    yield d(
        "half_life",
        "ln 2 over the mean of −log(1 − TV), in tokens",
        "After so many tokens that chance has halved.",
        "`null`",
    )
    yield d(
        "log_ratio",
        "Σ log p(y) − log q(y) of the tokens taken on the shared context",
        "How much less likely the pruned model finds the text.",
        "0",
    )
    yield d(
        "scored",
        "tokens taken on the shared context that both models gave a probability",
        "How many tokens the perplexities are over.",
    )
    yield d(
        "perplexity_ratio",
        "exp of its mean over the scored tokens",
        "The pruned model's perplexity over the dense one's: 1 is no loss.",
        "1",
    )
    yield d(
        "perplexity_dense",
        "exp(nll / `scored`), at T",
        "Among how many equally likely tokens the dense model would be as unsure.",
        "equal",
    )
    yield d("perplexity_pruned", "exp(nll / `scored`), at T", "The same of the pruned model.", "equal")
    yield d("nll_dense", "Σ −log p(y)", "How surprised the dense model is by the text, in all.", "equal")
    yield d("nll_pruned", "Σ −log q(y)", "The same of the pruned model.", "equal")
    yield d("agree_rate", "share of such steps", "How often both models' likeliest tokens are one.", "1")
    yield d(
        "longest_agreement",
        "the longest run of steps that agree",
        "The longest stretch without a split of the likeliest tokens.",
        "all steps",
    )
    yield d(
        "first_split",
        "first step at which the choices differ",
        "Where the two models first choose different tokens.",
        "`null`",
    )
    yield d(
        "rms_p_minus_q",
        "root mean square of p(y) − q(y) of the tokens taken on the shared context",
        "The typical change of the probability of the text's tokens.",
        "0",
    )
    yield d("watched_kl", "mean of `shared.watched.kl`", "The mean KL among the watched groups.", "0")
    yield d(
        "watched_agree_rate",
        "share of those steps at which both models find the same watched group likeliest",
        "How often the first watched group is the same.",
        "1",
    )


DEFINITIONS = {one.key: one for one in _definitions()}
