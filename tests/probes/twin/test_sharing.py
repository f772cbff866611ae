"""Copies of a model that share its tensors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as processes
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor

from probes.schema.errors import BadInput
from probes.twin.sharing import sharing_copy
from probes.twin.twin import Twin
from tests.support.tiny import tiny


@pytest.fixture
def one_process(tmp_path: Path) -> Iterator[None]:
    """A group of this process alone."""
    processes.init_process_group("gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1)
    yield
    processes.destroy_process_group()


@pytest.mark.usefixtures("one_process")
def test_a_sharded_model_has_no_copy_that_would_compute_with_its_weights() -> None:
    model = tiny("llama")
    sharing_copy(model)
    matrix = model.get_submodule("model.layers.0.mlp.up_proj")
    mesh = init_device_mesh("cpu", (1,))
    shard = distribute_tensor(matrix.get_parameter("weight").detach(), mesh, [Shard(0)])
    matrix.register_parameter("weight", torch.nn.Parameter(shard))
    for make in (sharing_copy, Twin):
        with pytest.raises(BadInput, match="sharded over processes can't share"):
            make(model)
