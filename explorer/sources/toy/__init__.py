"""Toy models with known logits, for tests and for work on the screens."""
