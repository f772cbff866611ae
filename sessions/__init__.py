"""Recordings that come with the program, replayable without any model."""
