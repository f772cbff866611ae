"""Measures the cost of stepping and pruning on this machine, and the effect of every method."""
