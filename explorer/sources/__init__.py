"""The sources of events: live models, a recording, a recording continued by live models, toy models."""
