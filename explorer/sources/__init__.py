"""Where events come from: live models, a recording, a recording that goes on, toy models."""
