"""The text that calibrated methods read."""
