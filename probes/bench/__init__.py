"""What stepping and pruning cost on this machine, and what every method does."""
