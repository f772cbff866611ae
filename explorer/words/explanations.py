"""The explanation of each panel: two sentences on what it is, one on how to read it, the formula, the source."""

from __future__ import annotations

from dataclasses import dataclass

from explorer.words.bound_keys import key_of

PAPER = "arXiv 2603.24652"


@dataclass(frozen=True, slots=True)
class Explanation:
    title: str
    what: str
    read: str
    formula: str
    source: str


EXPLANATIONS = {
    "embedding": Explanation(
        "embedding space h",
        "The hidden state that enters the LM head, after the final norm: the last vector a model has before it becomes "
        "words. The panel compares the dense model's h with the pruned model's h′ at this step.",
        "A cosine near 1 (↑) and a small angle (↓) mean that pruning left the direction alone; the length ratio "
        "says how much the vector shrank or grew. “Turned” is the share of the change across h, “rescaled” the share "
        "along it. A small change costs the cosine what turned says alone: that estimate is “Theorem 1”, and "
        "“est. / true” near 1 means that it holds.",
        "cos = ⟨h, h′⟩ / (‖h‖ ‖h′‖)\n"
        "turned = ‖Δh − αh‖ / ‖h‖,  rescaled = |α|,  α = ⟨Δh, h⟩ / ‖h‖²\n"
        f"small change:  1 − cos ≈ ‖Δh⊥‖² / (2‖h‖²)   (Theorem 1 of {PAPER})",
        f"{PAPER}, Theorem 1.",
    ),
    "logit": Explanation(
        "logit space z",
        "The scores of all tokens before softmax, after any soft cap or scaling the model applies. Softmax "
        "ignores a constant added to all of them, and so does the centred cosine; the raw cosine does not.",
        "Trust the centred cosine (↑) and the centred distance (↓); a raw cosine far below it is a shift that "
        "changes no prediction.",
        "centred cos = cos(z − mean z, z′ − mean z′)\ndistance = √(mean of (Δz − mean Δz)²),  Δz = z′ − z\n"
        "raw distance = √(mean of Δz²)",
        f"{PAPER} shows the raw cosine; both are shown here.",
    ),
    "probability": Explanation(
        "probability space p",
        "The next-token probabilities: p of the dense model, q of the pruned one, at the analysis temperature. KL is "
        "how many nats more the pruned model is surprised, on average, by tokens that the dense one writes; “reverse” "
        "swaps the two models.",
        "KL below 0.1 is close, above 1 the two disagree. TV is the most by which the two probabilities of any set of "
        "tokens differ; 1 − TV is how often two optimally coupled samplers choose the same token. A small "
        "change costs the KL what the spread of the logits' changes says: that estimate is “Theorem 3”. If it is far "
        "from the true KL, the change is not small.",
        "KL(p‖q) = Σ p (log p − log q)    reverse = KL(q‖p)\n"
        "TV = ½ Σ |p − q| = max over sets A of |p(A) − q(A)|    JS ≤ ln 2\n"
        f"small change:  KL ≈ Var_p(Δz) / (2T²)   (Theorem 3 of {PAPER})\n"
        "1 − cos ≈ Var_r(Δz) / (2T²),  r = p² / ‖p‖²   (Theorem 2 there)\n"
        "amplified = (1 − cos p) / (1 − cos h), and over 1 − centred cos z",
        f"{PAPER}, Theorems 2 and 3. Natural logarithms.",
    ),
    "accumulated": Explanation(
        "accumulated over steps",
        "The figures of all steps up to the cursor. Survival is the chance that two samplers, coupled as well as "
        "possible along this text, would still have written the same text.",
        "Survival starts at 100 % and falls; at 1 % the pruned model has almost certainly diverged. In `free`, shared "
        "is the effect of pruning alone, on the dense text; own is of each model on its own text, while both write. "
        "Drift is own minus shared over those same steps; “while both” shows both of these sums if the dense text is "
        "longer.",
        "ΣKL = Σ KL(p_t‖q_t)    survival = Π (1 − TV_t)\nhalf-life = t ln 2 / −ln survival, in tokens\n"
        "NLL = Σ −log p(y) of the tokens y taken, in nats; perplexity (ppl) = exp(NLL / tokens), of q likewise\n"
        "ppl ratio = pruned / dense = exp(mean of log p(y) − log q(y))",
        f"{PAPER}; on text that the dense model samples, ΣKL estimates the KL of whole continuations.",
    ),
    "table": Explanation(
        "next token",
        "The most likely tokens of both models at this step, each with both probabilities. "
        "● marks the dense model's choice, ○ the pruned one's.",
        "Look for long bars of different length and for ranks that moved; “of KL” says which token the KL comes "
        "from, and negative shares are tokens that pruning made likelier. "
        f"{key_of('fork')} forks with the chosen row.",
        "log p/q > 0: pruning made the token less likely\nof KL = p (log p − log q) / KL(p‖q)",
        f"The divergence of {PAPER}. In a diverged run both read the dense text; "
        f"{key_of('contexts')} shows each on "
        "its own.",
    ),
    "text": Explanation(
        "the two texts",
        "Each token is coloured by the KL at the step that wrote it, from blue (alike) to orange (unlike); it "
        "is underlined from 0.25 nat and also bold from 1 nat. ┆ marks the first split, ■ an end, ◦ half a character.",
        "In `dense`, `pruned` and `text` both models read one text. A panel titled “its own choice at each step” shows "
        "the token that this model would choose next after the other panel's text. It is dim if it is the same token; "
        "“·” ends another one, as the text goes on without it. "
        "In `free` each panel shows the text that its model wrote, the dense one coloured by the shared KL, the pruned "
        "one by the own KL. A click moves the cursor.",
        "blue  < 0.02 · 0.05 · 0.1 · 0.25 · 0.5 · 1 · 2 <  orange   (nats)",
        f"The divergence of {PAPER}. Control, direction and invisible characters appear as marks.",
    ),
    "reading": Explanation(
        "reading",
        "Two sentences computed from the figures of this step by fixed rules. They say no more than the figures do.",
        "The first is about the step, the second about the run. A token is named only if it holds a tenth of the KL; "
        "else the change is spread, and the entropies say how flat both distributions are.",
        "alike < 0.01 < nearly < 0.1 < a little < 0.5 < clearly < 2 < very   (nats)\n"
        "“nearly all drift”: (own − shared) / own > 0.9",
        f"The figures of {PAPER}; the rules are in explorer/words/sentences.py.",
    ),
    "layers": Explanation(
        "layers",
        "The pruned model layer by layer: the share of zeros in each sublayer and each of its matrices, as measured in "
        "its weights. A dot is dense; a dropped sublayer no longer runs.",
        f"Choose cells with the arrows, {key_of('stretch')} (a range) or {key_of('column')} (all layers); "
        f"{key_of('paint')} "
        "gives them "
        f"the method and amount on the right, {key_of('drop')} drops them, {key_of('restore')} restores them. Changes "
        "are "
        "marked "
        f"until {key_of('apply')} applies them.",
        "share = zeros / weights of the matrix",
        "Counted in the weights, not taken from the setting.",
    ),
    "before-after": Explanation(
        "before → after",
        "The accumulated figures of the previous and of the present setting, over the same steps and forced tokens. "
        "One pair covers all steps that both have measured, the other the steps up to where the cursor was.",
        "↓ and ↑ say which way is closer to the dense model. “by ΣKL” says whether the present setting is better or "
        "worse. If one setting has fewer steps, the frame says how many are compared.",
        "worse: ΣKL after > ΣKL before, on the shared context",
        "The sums are those of the accumulated panel.",
    ),
    "heat": Explanation(
        "layers × steps",
        "A row is a layer, or the largest of several if there are more layers than rows; the attentions are left and "
        "the MLPs right, and a cell is one sublayer at one step. Accumulated is how far the two models' residual "
        "streams are apart there; same input is what the pruned sublayer alone does to the dense model's input. "
        "Both are read as h, or through the final norm and head as z and p.",
        "Look for the row where the bars jump in the cursor's column (▼): there the damage enters. ┆ is where the two "
        f"lenses part for good. {key_of('space')} changes the figure, {key_of('of')} switches between accumulated and "
        "same "
        "input.",
        "cell = level of 1 − cos h, 1 − centred cos z, or KL(p‖q), on a fixed scale",
        f"{PAPER}, its transition analysis.",
    ),
    "why-heal": Explanation(
        "heal and damage",
        "Heal is how much the KL falls if this one sublayer is the dense model's in the pruned model. Damage is the KL "
        "of the dense model if this one sublayer is pruned.",
        "The first row is the culprit. “returns” means that the top token is the dense one again. ≈ is an estimate by "
        "one backward pass: it gives the order to look in, and exact values replace it; “≈ order” is its rank "
        "correlation with them. Control must be 0. If the sum of heals is far from 1 × KL, sublayers act together, and "
        "no single one explains all of it; below 0, most do harm if they alone are dense.",
        "heal(s) = KL before − KL after putting the dense f_s in    damage(s) = KL(dense ‖ dense with the pruned f_s)\n"
        "estimate = −⟨∂KL/∂o_s, f_s dense(x_s) − f_s pruned(x_s)⟩ over all positions",
        "Attribution patching, arXiv 2403.00745; it says where the estimate fails.",
    ),
    "why-layers": Explanation(
        "layers",
        "Every sublayer in the order of the stream: what the pruned one does to the dense input, and how far the two "
        "models' streams are apart after it. The lens is the token that a model would choose if no layer followed.",
        "From ┆ on, the two lenses never show the same token again. The estimates hold for small changes: one far "
        f"from 1 × the true value means that this one is large. {key_of('zoom')} widens the table and shows them.",
        "lens = softmax(U N(r))    std = √Var_p(Δz) / T    small change:  KL ≈ std² / 2   (Theorem 3)",
        f"{PAPER}, Theorems 1 to 3 and its transition analysis.",
    ),
    "why-memory": Explanation(
        "compute or memory",
        "The KL to the dense model with either model's weights for this token, on either model's cache of the earlier "
        "tokens. Below it, earlier positions whose cache was restored, one at a time.",
        "A large value at pruned weights on the dense cache is damage computed now; at dense weights on the pruned "
        "cache it is damage remembered. A position with a large drop is where it is remembered from.",
        "KL(dense ‖ weights W on cache C),  W and C each dense or pruned",
        "The four combinations are measured, not estimated. Positions count from 0; the number tried is bounded.",
    ),
    "why-split": Explanation(
        "anatomy of a split",
        "How sure each model is of its own token against the other's, and which sublayers moved the two logits. Below "
        "it, how each model goes on if it is forced to take the other one's token.",
        "A near-tie can flip by chance; a confident flip is damage; a numerical split would happen to an identical "
        "model too. Orange bars moved the logits towards the pruned model's token.",
        "margin = ln p(a) − ln p(b)    part = its output through the final norm, scale held, and U(a) − U(b)",
        "Direct logit attribution; the parts add up to z(a) − z(b).",
    ),
    "why-repair": Explanation(
        "what to give back",
        "The smallest set of sublayers, matrices or single weights found whose return brings the step or the marked "
        "span to the target. Each one is chosen with those before it given back; what is not needed goes.",
        "● returns: from this row on, the dense model's token is chosen again. Compare the two upper rows: a repair "
        f"fitted to one span may not hold on text it was not fitted to. {key_of('repair')} searches, "
        f"{key_of('enter')} applies the setting, {key_of('grid')} on the main screen then compares before and after.",
        "greedy by KL after, then a pass that removes what is not needed",
        f"The setting is text: it can be saved ({key_of('keep')}), recorded and given to --prune.",
    ),
    "why-floor": Explanation(
        "noise floor",
        "The figures of an identical pair if only the arithmetic differs. The causes are another number of threads, "
        "another batch width, another attention kernel and another number format.",
        "Figures below the floor mean nothing. A split below it is called numerical. Another number format is listed, "
        "but is no part of the floor, as both models run in the same one.",
        "floor = the largest difference over the steps and causes",
        "Measured on this machine with the dense model of this pair.",
    ),
    "verdict": Explanation(
        "verdict by task",
        "Each task's items are answered by both models, and each item's two answers are compared. The scores have "
        "intervals of their own; the difference has a paired one, which is narrower.",
        "Safe: the whole interval (├─●─┤) is right of the margin (┊). Broken: all of it is left. Else the items can't "
        "decide it, and about so many would. If the dense model only guesses, there is nothing to lose. p is McNemar's "
        "test of items lost against items gained, agree the share of equal answers, right or wrong.",
        "safe: low end of (pruned − dense) ≥ −δ    broken: high end < −δ    "
        f"(δ is the margin, {key_of('margin')} changes it)\n"
        "interval: Newcombe's paired score for shares, else a paired bootstrap of 10,000 draws\n"
        "Each result is kept in a file as soon as it is measured (phier verdict --results FILE, phier-tui FILE).",
        "Newcombe 1998; McNemar 1947, exact. Formulas in docs/figures.md.",
    ),
    "of-task": Explanation(
        "the task",
        "The verdict on the chosen task, and how many answers were lost and gained. Its further figures are below.",
        "A further figure with an interval is paired, as the score is. One without a pruned value compares both, "
        "such as tau-b of their rankings or the half-life of a generated text.",
        "MRR = mean of 1 / rank    recall@k = share of the right documents within rank k",
        "Formulas in docs/figures.md.",
    ),
    "losses": Explanation(
        "lost in each space",
        "How far the two models are apart where items are decided. There is a bar for the state h before the LM head, "
        "the logits z, the probabilities p of all tokens, and those of the options alone.",
        "Small bars at h and at the options beside a large one at p are why answers survive: a choice among few stable "
        "options needs little. A generated text draws on all of p, again and again.",
        "h: mean of 1 − cos(h, h′)    z: 1 − centred cosine    p: 1 − cos(p, q)    options: p and q over them, "
        "renormalised",
        f"{PAPER}: embeddings and logits are robust, probabilities are not.",
    ),
    "step-list": Explanation(
        "steps",
        "The steps of this run: the worst by a figure on the shared context, those you have marked, those that a "
        "search finds, or those that are explained (◇). Each has both models' choices and the end of the text before "
        "it.",
        f"{key_of('list-1')}, {key_of('list-2')}, {key_of('list-3')} and {key_of('list-4')} choose the list, "
        f"{key_of('figure-left')} {key_of('figure-right')} the figure, and {key_of('open')} goes to the step. One "
        "is explained if its heal and damage, or what to give back, are known. Marks (⚑) are kept in your settings "
        "folder and never change a recording; they are there again when the same run is opened.",
        "worst: the largest value, or the smallest of a figure marked ↑\n"
        "find: a text · kl>0.5 · h.angle>20 · margin<0.1 · split · marked · kl>1 & split\n"
        "margin = ln p(a) − ln p(b) of the dense choice a and the pruned one b, or the next likeliest if both choose a",
        "The names of figures are those of the JSON; docs/figures.md has their formulas.",
    ),
    "items": Explanation(
        "items",
        "Every scored item with the answers of both models: ✓ right, ✗ wrong. The margin is how far the first answer "
        "is ahead of the second, in nats; of documents, in similarity.",
        f"{key_of('only-1')}, {key_of('only-2')}, {key_of('only-3')} and {key_of('only-4')} list all items, those "
        "whose answer "
        f"changed, those lost and those gained; {key_of('sort')} sorts by KL. An answer that "
        "changed at a small margin was a near-tie.",
        "margin = ln p(first) − ln p(second)",
        "KL over the whole vocabulary at the deciding token; the mean of several if several decide.",
    ),
    "item": Explanation(
        "the item",
        "The text that both models read, and their answers. Options have the probabilities of both models among "
        "themselves; ✓ is the right one, ● the dense model's choice, ○ the pruned one's.",
        "If the options' own KL is far below that of the whole vocabulary, the damage lies in tokens that this task "
        f"never asks for. {key_of('open')} opens the item on the main screen.",
        "p̂ = p / Σ p over the options; a letter's probability is the sum over its surface forms",
        "By continuation: the log-probability of the whole option.",
    ),
    "similarities": Explanation(
        "similarities of a retrieval task",
        "A row is a query, a cell a document: the cosine of their embeddings, in the dense model, in the pruned one, "
        "and the difference. Documents are in the order of their queries, so good retrieval is a diagonal.",
        "● is the document ranked first, if it is right, ○ if it is wrong; in the third map, the pruned model's. Below "
        "are both rankings of the query under the cursor; ↑ and ↓ say how many ranks a document moved.",
        "similarity = cos(e(query), e(document)),  e = mean of h over the text's own tokens",
        f"{PAPER}: embeddings survive pruning.",
    ),
    "sweep-heat": Explanation(
        "settings × tasks",
        "A row is a setting, a column a task or a prompt, a cell both models' figures of one on the other. Cells with "
        "several seeds show the mean; the outcome is that of the worst seed. "
        f"{key_of('figure-f')} goes through the figures.",
        "✓ safe, ✗ broken, … too few items, ≈ borderline, ○ nothing to lose; with other figures, from ▁ alike to █ "
        "unlike. ◆ is the knee: the largest amount of its family that is safe together with all smaller ones. "
        f"{key_of('open')} opens the setting as a verdict.",
        "safe: the lower end of the interval of (pruned − dense) ≥ −margin",
        f"The verdict's rule. {key_of('margin')} changes the margin; nothing is computed again.",
    ),
    "sweep-curves": Explanation(
        "curves",
        "Each task's score of the pruned model against the swept amount, with its interval; ╌ is the dense model's "
        f"score, ┈ what guessing would score. With {key_of('together')}, all tasks are in one plot, as points lost.",
        "● safe, ○ undecided, ✗ broken, ◆ and ┆ the knee. An interval that hangs over the dense score is no gain: the "
        "difference is decided on pairs, which the cell below shows.",
        "knee = the largest amount such that it and all smaller ones are safe",
        "Intervals of scores: Wilson. Of several seeds: the mean, from the lowest end to the highest.",
    ),
    "sweep-pareto": Explanation(
        "parameters removed against score lost",
        "Every setting of one task, of all families. Across is the share of the dense model's parameters that it "
        "zeroes or drops, counted in the weights; up, the points it loses.",
        "Filled marks are on the front: no other setting removes as much and loses less. The arrows go to another "
        f"task; {key_of('page-c')} and {key_of('page-m')} go back to the curves and the heat map.",
        "removed = (zeroed + dropped) / all parameters    lost = dense − pruned",
        "Points lost are estimates: the table has their intervals and the verdict's outcome.",
    ),
    "cell": Explanation(
        "a cell of the sweep",
        "What one setting does to one task: the verdict in a sentence, and the difference with its interval on an axis "
        "with zero │ and the margin ┊. Below are both scores, what is lost in each space, what was removed and how "
        "long it took.",
        f"{key_of('open')} opens all tasks of this setting as a verdict; there any item opens as a run, whose models "
        "are "
        "loaded "
        "for it. A prompt opens as its recording.",
        "lost in h = mean of 1 − cos(h, h′) at the deciding tokens; z (centred) and p likewise",
        "The figures of the verdict.",
    ),
    "passages": Explanation(
        "where the models differ",
        "The passages of a text, scored by both models. A row has the mean and the largest KL, the first step at which "
        "the top tokens differ, how often they agree, and what happens to the text's own tokens.",
        f"The first rows are what this setting breaks. {key_of('order')} sorts by the next figure, {key_of('open')} "
        "opens "
        "the passage on the "
        "main screen.",
        "Δp = mean of q(y) − p(y)    rank = how far a token that the dense model ranks first falls",
        "Both models read the same text, as in `text`.",
    ),
    "tokens": Explanation(
        "the prompt as tokens",
        "What both models would read before their first step: all turns as the chat template writes them, with the "
        "tokens that it adds. It is rendered by the dense model's own tokenizer, as a run would be.",
        "Bold and underlined tokens are special, such as the end of a turn, or were added to the vocabulary; nobody "
        "typed them, unless a turn contains their text. A template may also add words, such as a system prompt.",
        "text = template(turns, template arguments) + begun answer\ntokens = tokenizer(text), without adding any",
        "The same as `phier prompt` prints.",
    ),
    "board": Explanation(
        "watched tokens",
        "The tokens that this run follows, in groups: p and q of a group are the sums over its tokens, such as “A” "
        "and “ A”. The shares p̂ and q̂ are the probabilities among the watched groups alone. The last row compares "
        "these two distributions, and beside them those over the whole vocabulary.",
        "If the shares keep their order while the whole vocabulary's KL is large, the answer survives pruning and only "
        "the rest has changed. A small mass means that the models would write something else.",
        "p = Σ p over the group's tokens,  m = Σ p over the groups,  p̂ = p / m\n"
        "KL(p̂‖q̂) = Σ p̂ (log p̂ − log q̂),  cos = ⟨p̂, q̂⟩ / (‖p̂‖ ‖q̂‖)",
        "Taken from the logarithms, so the shares are defined where every probability underflows.",
    ),
    "strip": Explanation(
        "KL by step",
        "One bar a step, or the largest KL of the steps that share a cell. The scale is fixed, 0.005 to 5 nats "
        "by powers of ten, so that a bar's height means the same in every run.",
        "Tall orange bars are where the models differ most; click or drag to look there. ┆ is the first split, ▲ the "
        "cursor, ⚑ a marked step; ◇ is one that is explained, as its heal and damage, or what to give back, are known.",
        "bar = log(KL / 0.005) / log(1000)",
        f"The divergence of {PAPER}; in `free` the shared one, of both models on the dense text.",
    ),
}


def explanation_of(panel: str) -> Explanation:
    """The explanation of the panel with this id."""
    return EXPLANATIONS[_SHARED.get(panel, panel)]


_SHARED = {"dense": "text", "pruned": "text", "curve": "sweep-curves"}
"""Panels that another one's explanation is about."""
