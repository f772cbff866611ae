"""Sweeps: settings × tasks and prompts × seeds, on one machine or many."""
