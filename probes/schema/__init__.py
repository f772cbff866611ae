"""Frozen data without torch: all that the explorer needs at start."""
