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


_UNUSED = """
import sys
from probes.models.unused_torch import without_compiler
import probes.pair
import torch
import transformers.core_model_loading as loading
from transformers import LlamaConfig, LlamaForCausalLM, masking_utils, utils
from transformers.distributed import utils as distributed

UNUSED = ("torch._dynamo", "torch.distributed.tensor", "torch.distributed.fsdp")
with without_compiler(), torch.device("meta"):
    LlamaForCausalLM(LlamaConfig(vocab_size=8, hidden_size=8, num_attention_heads=2, num_hidden_layers=1))
assert not [name for name in UNUSED if name in sys.modules], [name for name in UNUSED if name in sys.modules]

assert utils.is_torch_distributed_available() == torch.distributed.is_available()
assert loading.is_dtensor(torch.ones(2)) is False
import torch.distributed.tensor
assert distributed.is_dtensor(torch.ones(2)) is False

with masking_utils.TransformGetItemToIndex():
    assert torch.ones(3)[torch.tensor(1)] == 1
assert "torch._dynamo" in sys.modules, "what is needed comes"
before = sys.modules["torch._dynamo"]
with without_compiler():
    assert sys.modules["torch._dynamo"] is before
assert torch.compile(lambda x: x + 1, backend="eager")(torch.ones(1)) == 2
"""

_AFTER_ALL = """
import sys
from probes.models.unused_torch import without_compiler
import torch
with without_compiler():
    assert torch.compiler.disable(len) is len
    assert callable(torch._dynamo.optimize), "what is no mark imports the compiler"
assert torch._dynamo.optimize.__module__.startswith("torch._dynamo")
assert torch.compiler.disable(lambda: 7)() == 7
"""


def test_what_only_compiling_and_sharding_need_comes_when_it_is_asked_for() -> None:
    for script in (_UNUSED, _AFTER_ALL):
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_models_are_imported_without_scipy_which_comes_when_it_is_called() -> None:
    done = subprocess.run([sys.executable, "-c", _SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
