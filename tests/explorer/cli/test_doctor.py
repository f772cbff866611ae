"""The doctor's report: quick, whole, without a secret; and emptying caches, which asks first."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from explorer.cli import doctor as doctor_of_phier
from explorer.cli.doctor_report import in_bytes
from explorer.cli.main import phier
from probes.stepping import computing_here
from probes.system.caches import CACHES
from probes.system.user_folders import cache_folder, config_folder, recordings_folder


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("CACHE", "CONFIG", "RECORDINGS"):
        folder = tmp_path / "of-phier" / name.lower()
        folder.mkdir(parents=True)
        monkeypatch.setenv(f"PHIER_{name}", str(folder))
    return tmp_path


def doctor(*words: str, typed: str | None = None) -> Result:
    return CliRunner().invoke(phier, ["doctor", *words], input=typed)


def kept_noise() -> Path:
    place = cache_folder() / "noise" / f"{'ab' * 32}.json"
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(b"x" * 2500)
    return place


def test_the_report_has_every_section() -> None:
    kept_noise()
    (recordings_folder() / "one.jsonl").write_bytes(b"x" * 12)
    (config_folder() / "config.toml").write_text("[run]\nstep = 3\n[screen]\ntheme = 'light'\n")
    shown = doctor().stdout
    lines = {line.split()[0]: line for line in shown.splitlines() if line.startswith("  ")}
    assert [line for line in shown.splitlines() if line[0] != " "] == [
        "program", "machine", "terminal", "folders", "caches", "computing",
    ]  # fmt: skip
    for name in ("phier", "torch", "transformers", "textual"):
        assert version(name) in lines[name]
    assert platform.python_version() in lines["Python"]
    assert "~/of-phier/config/config.toml (there)" in shown
    assert "line 2: [run] has the unknown name step. Did you mean steps?" in shown
    assert "~/of-phier/recordings: 1 file, 12 bytes" in shown
    assert "2.5 kB, 1 entry" in lines["noise"]
    assert "theme light, glyphs braille, motion full" in lines["looks"]
    assert "cpu" in lines["devices"]
    assert "can't be known" in lines["clipboard"]


def test_the_report_as_one_object() -> None:
    found = json.loads(doctor("--json", "--quick").stdout)
    assert list(found) == ["program", "machine", "terminal", "folders", "caches", "config_faults"]
    assert found["program"]["phier"] == version("phier")
    assert set(found["caches"]) == {"folder", *(cache.name for cache in CACHES), "of others"}
    assert found["config_faults"] == []


def test_nothing_secret_is_said(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "PHIER_TOKEN", "AWS_SECRET_ACCESS_KEY", "SSH_CONNECTION"):
        monkeypatch.setenv(name, "hf_secret 10.1.2.3")
    monkeypatch.setenv("HF_HOME", str(home / "hub"))
    shown = doctor("--quick").stdout
    assert "secret" not in shown
    assert "10.1.2.3" not in shown
    assert str(home) not in shown
    assert "HF_HOME=~/hub" in shown
    assert "ssh" in shown


def test_a_quick_report_imports_neither_torch_nor_textual() -> None:
    code = "import sys; from explorer.cli.main import phier; phier(['doctor', '--quick'], standalone_mode=False); "
    code += "print(sorted({'torch', 'transformers', 'textual'} & sys.modules.keys()))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines()[-1] == "[]"


def test_caches_are_emptied_after_a_yes(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = kept_noise()
    assert doctor("--empty-caches").exit_code == 2
    assert "Give --yes" in doctor("--empty-caches").stderr
    monkeypatch.setattr(doctor_of_phier, "can_ask", lambda: True)
    asked = doctor("--empty-caches", typed="n\n")
    assert "Remove these 2.5 kB from ~/of-phier/cache?" in asked.stdout
    assert asked.exit_code == 1
    assert kept.exists()
    assert "noise: 1 removed, 2.5 kB" in doctor("--empty-caches", typed="y\n").stdout
    assert not kept.exists()
    assert "are empty" in doctor("--empty-caches", "--yes").stdout


def test_recordings_and_settings_are_never_removed() -> None:
    kept_noise()
    mine = [recordings_folder() / "one.jsonl", config_folder() / "config.toml", config_folder() / "settings.json"]
    for path in mine:
        path.write_text("mine")
    doctor("--empty-caches", "--yes")
    assert all(path.read_text() == "mine" for path in mine)


@pytest.mark.parametrize("words", [("--yes",), ("--empty-caches", "--json"), ("--empty-caches", "--quick")])
def test_options_that_do_not_go_together_are_refused(words: tuple[str, ...]) -> None:
    assert doctor(*words).exit_code == 2


def test_bytes_are_written_in_a_unit_that_fits() -> None:
    assert [in_bytes(size) for size in (0, 999, 1200, 34_000, 5_260_000, 814_000_000, 1_250_000_000)] == [
        "0 bytes", "999 bytes", "1.2 kB", "34 kB", "5.3 MB", "814 MB", "1.2 GB",
    ]  # fmt: skip


def test_the_overlap_that_is_expected_follows_cores_and_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(computing_here, "cores", lambda: 8)
    assert str(computing_here.expected_overlap(4)[0]) in ("process", "threads")
    assert str(computing_here.expected_overlap(5)[0]) == "none"
    monkeypatch.setattr("sys.platform", "darwin")
    assert str(computing_here.expected_overlap(2)[0]) == "threads"
    assert computing_here.overlap_here().startswith(("threads; each model with", "on a GPU"))
