"""The pruned twin of a dense model, and how a model is built."""
