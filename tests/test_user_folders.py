"""The tests leave the folders alone in which their user's recordings and settings are."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import platformdirs
import pytest

from explorer.state.saved_settings import SavedSettings
from probes.recording import recordings_folder
from probes.schema.prune_setting import parse
from probes.system.user_folders import cache_folder, shortened
from tests.support.user_folders import cache_of_tests, settings, written

CODE = "from probes.recording import *; RecordingWriter(recordings_folder() / 'mine.jsonl').close()"


def test_recordings_and_settings_go_into_folders_of_the_tests_own():
    data, config = (
        folder("phier", appauthor=False) for folder in (platformdirs.user_data_path, platformdirs.user_config_path)
    )
    assert data not in recordings_folder().parents
    assert config not in SavedSettings().path.parents


def test_a_recording_of_a_program_without_these_variables_is_found(monkeypatch, request):
    user = request.getfixturevalue("_own_folders")
    monkeypatch.delenv("PHIER_RECORDINGS")
    if user not in recordings_folder().parents:
        pytest.skip("this system has its user folders elsewhere")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    subprocess.run([sys.executable, "-c", CODE], env=environment, check=True)
    assert [Path(name).name for name in written(user)] == ["mine.jsonl"]
    assert written(user) == []


def test_the_cache_is_the_tests_own_but_for_the_demo_model(monkeypatch, tmp_path):
    ours = cache_folder()
    assert platformdirs.user_cache_path("phier", appauthor=False) not in (ours, *ours.parents)
    monkeypatch.setenv("PHIER_CACHE", str(tmp_path / "user"))
    made = cache_of_tests(tmp_path)
    (made / "demo" / "model.gguf").write_text("weights")
    assert (tmp_path / "user" / "demo" / "model.gguf").read_text() == "weights"
    assert not (made / "noise").exists()


def test_a_setting_that_is_written_is_found(monkeypatch, tmp_path):
    monkeypatch.setattr(platformdirs, "user_config_path", lambda *_, **__: tmp_path)
    monkeypatch.delenv("PHIER_CONFIG")
    assert settings() == 0
    SavedSettings().save("mine", parse("wanda:0.5"))
    assert settings() > 0
    monkeypatch.undo()


def test_a_path_in_the_home_folder_is_shortened():
    assert shortened(Path.home() / "a" / "b.jsonl") == "~/a/b.jsonl"
    assert shortened("/elsewhere/b.jsonl") == "/elsewhere/b.jsonl"
