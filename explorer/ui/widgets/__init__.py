"""Widgets, one a file, each testable without the app."""
