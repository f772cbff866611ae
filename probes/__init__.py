"""Measuring a dense and a pruned language model side by side; knows torch, never the interface."""
