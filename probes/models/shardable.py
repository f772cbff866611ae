"""Loads models sharded over the processes that torchrun started, and says before anything slow which can't be.

transformers splits matrices by the tensor-parallel plan of an architecture: each process has some heads and neurons of
every layer, and the outputs are summed over the processes.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as processes
from transformers import PreTrainedConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

from probes.schema.errors import BadInput
from probes.system.ranks import rank, ranks

R = TypeVar("R")
_PATIENCE = timedelta(days=7)
"""How long a process waits for the others: the first one may prune for hours."""


def check_shardable(config: PreTrainedConfig, found: Mapping[str, object], name: str) -> None:
    """Raises `BadInput` if a model of this configuration can't be sharded over the processes."""
    text = config.get_text_config(decoder=True)
    model_class: Any = MODEL_FOR_CAUSAL_LM_MAPPING.get(type(config), None)
    if found.get("quantization_config"):
        raise _unshardable(
            f"{name} is quantised, and quantised matrices can't be sharded", "Name an unquantised model."
        )
    if not (getattr(text, "base_model_tp_plan", None) or getattr(model_class, "_tp_plan", None)):
        raise _unshardable(
            f"transformers has no tensor-parallel plan for {text.model_type}, the architecture of {name}",
            "Use --device-map in one process instead of torchrun.",
        )
    for key, what in (("num_attention_heads", "attention heads"), ("num_key_value_heads", "key and value heads")):
        heads = getattr(text, key, None)
        if isinstance(heads, int) and heads % ranks():
            fitting = [str(n) for n in range(2, heads + 1) if heads % n == 0]
            raise _unshardable(
                f"the {heads} {what} of {name} don't divide by {ranks()} processes",
                f"Start {' or '.join(fitting)} processes." if fitting else "Use --device-map in one process.",
            )


def connect() -> None:
    """Connects this process with the others, once."""
    if processes.is_initialized():
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    processes.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo", timeout=_PATIENCE)
    atexit.register(processes.destroy_process_group)


def from_first(make: Callable[[], R]) -> R:
    """What the first process makes, in every process. If it raises, its end ends the others."""
    box: list[Any] = [make() if rank() == 0 else None]
    processes.broadcast_object_list(box, src=0, device=torch.device("cpu"))
    made: R = box[0]
    return made


def from_all(value: R) -> list[R]:
    """The value of every process, in order, in every process."""
    box: list[Any] = [None] * ranks()
    processes.all_gather_object(box, value)
    return box


def _unshardable(why: str, hint: str) -> BadInput:
    return BadInput("Can't be sharded", f"{why[0].upper() if why.startswith('the ') else why[0]}{why[1:]}.", hint)
