"""Figures and sentences as people read them."""
