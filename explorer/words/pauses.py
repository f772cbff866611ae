"""The sentence on why a run is paused, from the values of the event."""

from __future__ import annotations

from probes.schema.events import RunPaused, Why
from probes.schema.until import Bound, Diverge, End, Loop, Met, Split, Steps, TokenTaken, parse_until

_SHORT = {"kl": "KL", "survival": "Survival"}
"""How a sentence begins with a short name; it begins with any other name as it is."""


def pause_sentence(pause: RunPaused) -> str:
    """Why the run is paused, in one sentence or two."""
    if pause.said:
        return pause.said
    match pause.why:
        case Why.ASKED:
            return f"Paused after step {pause.step}."
        case Why.FAILED:
            return f"Stopped after step {pause.step}."
        case Why.UNTIL:
            return met_sentence(pause.met) if pause.met else "A condition is met."
        case Why.STEPS:
            left = f", and {pause.left:,} tokens of the text are left" if pause.left else ""
            more = f"; running again does {pause.more} more" if pause.more else ""
            return f"{pause.step} steps are done{left}{more}."
        case Why.CONTEXT:
            return f"The models' maximum context is reached after {pause.step} steps."
        case Why.ENDED:
            return f"The text ended at step {pause.step}."
        case Why.TEXT:
            return f"The given text ends at step {pause.step}."
        case Why.INVALID:
            return _invalid(pause)
        case Why.MEASURED:
            have = "step has" if pause.step == 1 else f"{pause.step} steps have"
            return f"The same {have} been measured under this setting."
        case Why.KNOWN:
            these = "This step was" if pause.step == 1 else f"These {pause.step} steps were"
            return f"{these} measured earlier under this setting."
        case Why.CONTINUED:
            return "There is no recorded step before the cursor."
        case Why.RECORDED:
            return "The recording ends here."
        case Why.CUT:
            return f"The recording is cut off after step {pause.step}, in the middle of a line."
        case Why.OPEN:
            return f"No end is recorded after step {pause.step}: the file is still being written, or was cut off."


def met_sentence(met: Met) -> str:
    """Which condition is met, and by what."""
    match parse_until(met.condition), met.tokens:
        case Split(), (dense, pruned):
            return f"The choices differ at step {met.step}: {dense!r} against {pruned!r}."
        case Diverge(), (dense, pruned):
            return f"The texts diverge at step {met.step}: {dense!r} against {pruned!r}."
        case End(), (token,):
            return f"A text ends with {token!r} at step {met.step}."
        case Bound(name, above, bound), _ if met.value is not None:
            value = f"{met.value:.2g}" if name == "survival" else f"{met.value:.3g}"
            return f"{_SHORT.get(name, name)} {value} at step {met.step} is {'above' if above else 'below'} {bound:g}."
        case Loop(), _:
            unit = "token" if met.period == 1 else f"{met.period} tokens"
            return f"The {met.side} text repeats its last {unit} at step {met.step}.".replace("  ", " ")
        case TokenTaken(), (token,):
            return f"The token {token!r} was taken at step {met.step}."
        case Steps(count), _:
            return f"{count} steps are done."
    return f"{met.condition} is met at step {met.step}."


def _invalid(pause: RunPaused) -> str:
    if pause.invalid is None:
        return "A model computed NaN or infinity."
    where = f" from {pause.invalid.layer} on" if pause.invalid.layer else ""
    return f"The {pause.invalid.model} model computed NaN or infinity{where}, so it can't choose a token."
