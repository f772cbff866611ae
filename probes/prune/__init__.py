"""Pruning settings, methods, masks and drops."""
