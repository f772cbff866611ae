"""What is printed as a command means the same to a shell."""

from __future__ import annotations

import shlex
import subprocess

import pytest

from explorer.words.shell_words import on_one_line

WORDS = (
    *("plain", "two words", "it's", "a\n\n\tb\r", "back\\slash\n", "\x1b[31m"),
    *("é \n '😀' \u200b", '$HOME\n`ls` "x"', "\n"),
)


@pytest.mark.parametrize("word", WORDS)
def test_a_shell_reads_the_word_that_was_meant(word: str) -> None:
    line = on_one_line(shlex.join(["printf", "%s", word]))
    assert line.isprintable()
    said = subprocess.run(["bash", "-c", line], capture_output=True, check=True, env={"LC_ALL": "C.UTF-8"})
    assert said.stdout.decode() == word
