"""Both models stepped side by side, and compared."""
