"""Imports what loading a model needs of transformers, without what serves other tasks and without work done twice.

A tenth of the program's start went into SciPy, which only object detectors use, and into a second look at the same
thousand files. Whatever imports transformers first should import this module before it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from probes.models.unused_torch import without_compiler, without_sharding
from probes.system.ranks import ranks

_FROM_SCIPY = "linear_sum_assignment"
"""What the losses of object detectors take from SciPy."""


def _import_models() -> None:
    if "transformers.modeling_utils" in sys.modules:
        return
    from transformers import utils
    from transformers.utils import import_utils

    with _replaced(import_utils, "create_import_structure_from_path", _of_folder):
        import transformers.models
    with _replaced(utils, "is_scipy_available", lambda _asked: lambda: False) as asked:
        if ranks() == 1:
            _import_without_unused()
        import transformers.modeling_utils  # noqa: F401
    if asked is None or not asked():
        return
    for name, module in list(sys.modules.items()):
        if name.startswith("transformers.loss.") and hasattr(module, "is_scipy_available"):
            vars(module).update({"is_scipy_available": asked, _FROM_SCIPY: _assigned})


def _import_without_unused() -> None:
    """Leaves out parts of torch, if this version of transformers can be imported without them."""
    with suppress(ImportError, AttributeError), without_sharding(), without_compiler():
        import transformers.generation.utils
        import transformers.modeling_utils  # noqa: F401


def _of_folder(listed: Callable[[object], object]) -> Callable[[object], object]:
    """Names a folder as transformers did before, and not by its `__init__.py`, so that the list is still known."""

    def of_folder(path: object) -> object:
        return listed(Path(path).parent if isinstance(path, str) and path.endswith("__init__.py") else path)

    return of_folder


def _assigned(*costs: Any, **options: Any) -> Any:
    """SciPy's function, which transformers uses where it happens to be installed, imported when it is called."""
    return import_module("scipy.optimize").linear_sum_assignment(*costs, **options)


@contextmanager
def _replaced(module: ModuleType, name: str, by: Callable[[Any], Any]) -> Iterator[Any]:
    """Replaces a function in its block by one made of it, and gives it back; None if this version has no such one."""
    before = getattr(module, name, None)
    if before is not None:
        setattr(module, name, by(before))
    try:
        yield before
    finally:
        if before is not None:
            setattr(module, name, before)


_import_models()
