"""The signs of a marked step, and of one that is explained."""

STEP_MARK = "⚑"
EXPLAINED_SIGN = "◇"
