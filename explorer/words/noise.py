"""Sentences about the noise floor."""

from __future__ import annotations

from explorer.words import numbers
from probes.schema.noise_floor import NoiseFloor


def noise_sentence(floor: NoiseFloor) -> str:
    """The sentence that says what the noise floor is and how large a KL it covers."""
    kl = floor.floor("p.kl")
    places = "one position" if floor.steps == 1 else f"{floor.steps} positions"
    found = f"a KL up to {numbers.significant(kl, 2)} says nothing about pruning" if kl else "nothing moves"
    return (
        f"Noise floor: the dense model against itself, computed in another way, at {places}. "
        f"In {floor.own_dtype} {found}."
    )


def skipped_sentence(cause: str, reason: str) -> str:
    """The sentence that says why a cause was left out."""
    return f"Not measured: {cause}, because {reason.rstrip('.')}."
