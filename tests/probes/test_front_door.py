"""`import probes` is quick, and gives a script the names that it needs."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys

import pytest

import probes


def test_nothing_heavy_is_imported_before_a_name_needs_it() -> None:
    code = (
        "import sys, probes\n"
        "assert not {'torch', 'transformers', 'msgspec'} & sys.modules.keys()\n"
        "spec = probes.PairSpec(prune=probes.parse_setting('wanda:0.5'))\n"
        "probes.RunSettings('Hello', follow=probes.Follow.FREE), probes.read_recording\n"
        "assert not {'torch', 'transformers'} & sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


@pytest.mark.parametrize("name", probes.__all__)
def test_every_name_is_there_and_is_the_one_that_type_checkers_see(name: str) -> None:
    found = getattr(probes, name)
    block = next(node for node in ast.parse(inspect.getsource(probes)).body if isinstance(node, ast.If))
    (module, original) = next(
        (node.module, one.name)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for one in node.names
        if (one.asname or one.name) == name
    )
    assert module is not None
    assert found is getattr(sys.modules[module], original)
    assert name in dir(probes)


def test_another_name_is_an_error_as_of_any_module() -> None:
    with pytest.raises(AttributeError, match="module 'probes' has no attribute 'load_pairs'"):
        probes.load_pairs  # type: ignore[attr-defined]  # noqa: B018
