"""Finds the packages, among them the recordings of sessions/ as `phier_sessions`. All else is in pyproject.toml."""

from setuptools import find_packages, setup

setup(packages=[*find_packages(include=["explorer", "explorer.*", "probes", "probes.*"]), "phier_sessions"])
