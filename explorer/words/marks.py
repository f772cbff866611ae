"""The sign of a marked step."""

STEP_MARK = "⚑"
