"""The commands: their options, their output, and how they end."""
