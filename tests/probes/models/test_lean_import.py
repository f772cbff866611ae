"""Importing transformers in less time changes nothing of what it offers."""

import subprocess
import sys

_SCRIPT = """
import sys
import probes.models.lean_import
from transformers import LlamaForCausalLM, models, utils
from transformers.loss import loss_for_object_detection as loss

assert "scipy" not in sys.modules
assert "llama.modeling_llama" in models._modules and "llama" in dir(models), "models are found by name"
assert LlamaForCausalLM.__module__ == "transformers.models.llama.modeling_llama"
listed = utils.import_utils.create_import_structure_from_path
assert listed.cache_info().hits > 0, "the models are listed once"
assert loss.is_scipy_available is utils.is_scipy_available
if utils.is_scipy_available():
    rows, columns = loss.linear_sum_assignment([[4, 1], [2, 3]])
    assert (list(rows), list(columns)) == ([0, 1], [1, 0])
    assert "scipy" in sys.modules
"""


def test_models_are_imported_without_scipy_which_comes_when_it_is_called() -> None:
    done = subprocess.run([sys.executable, "-c", _SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
