"""Statistics of the inputs of a matrix: norms of its features, or the Hessian of its least-squares problem.

Both are sums over tokens, so their size does not depend on how much calibration text there is.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from weakref import WeakKeyDictionary

from torch import Tensor
from transformers import PreTrainedModel

from probes.schema.errors import BadInput
from probes.system.float64 import to_float64


class InputStatistics:
    """Sums over tokens for each matrix; matrices that read the same tensor (q, k and v) share one sum."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._first: dict[str, Tensor] = {}
        """The first inputs of each matrix, kept so that no other tensor gets their address."""
        self._read_by: dict[str, str] = {}
        """The matrix whose sum a matrix shares; mostly itself."""
        self._tokens: dict[str, int] = {}

    def see(self, name: str, inputs: Tensor) -> None:
        """Adds inputs of a matrix, (tokens, features)."""
        reader = self._read_by.get(name)
        if reader is None:
            reader = next((other for other, seen in self._first.items() if _is(seen, inputs)), name)
            self._read_by[name] = reader
            self._first[name] = inputs
        elif name in self._first:
            self._first.clear()  # at the second batch, the matrices that share inputs are known
        if reader == name:
            self._tokens[name] = self._tokens.get(name, 0) + inputs.shape[0]
            self._sums[name] = self._plus(self._sums.get(name), inputs)

    def __contains__(self, name: str) -> bool:
        return name in self._read_by

    def tokens(self, name: str) -> int:
        """How many tokens have entered a matrix."""
        return self._tokens[self.readers(name)]

    def readers(self, name: str) -> str:
        """The matrix whose sum this one shares. Raises `BadInput` if no token entered it."""
        if name not in self:
            raise BadInput(
                "Never ran",
                f"{name} read no token of the calibration text: no token was routed to it, or its weights are used "
                "without running it.",
                "Name other matrices (@name=q_proj,k_proj), use more text, or a method that needs none: magnitude, "
                "random.",
            )
        return self._read_by[name]

    def total(self, name: str) -> Tensor:
        return self._sums[self.readers(name)]

    def _plus(self, total: Tensor | None, inputs: Tensor) -> Tensor:
        raise NotImplementedError


class Norms(InputStatistics):
    """‖x_j‖₂ of each input feature j over all tokens."""

    def _plus(self, total: Tensor | None, inputs: Tensor) -> Tensor:
        added = to_float64(inputs.float().square().sum(0))
        return added if total is None else total.add_(added)

    def norms(self, name: str) -> Tensor:
        """(features,), float32."""
        return self.total(name).sqrt().float()


class Hessians(InputStatistics):
    """H = (2/n) Σ x xᵀ over n tokens: the Hessian of the squared error of a matrix's output (SparseGPT, arXiv
    2301.00774)."""

    def _plus(self, total: Tensor | None, inputs: Tensor) -> Tensor:
        x = inputs.float()
        return x.T @ x if total is None else total.addmm_(x.T, x)

    def take(self, name: str) -> Tensor:
        """(features, features), float32. Removes its sum, which is as large as the result."""
        return self._sums.pop(self.readers(name)).mul_(2 / self.tokens(name))


class NormCache:
    """Caches measured norms by a key of the calibration text and of everything pruned before these matrices.

    There is one for each dense model, which lives as long as the model.
    """

    def __init__(self, blocks: int = 512) -> None:
        self._known: OrderedDict[str, dict[str, Tensor]] = OrderedDict()
        self._most = blocks

    @staticmethod
    def of(dense: PreTrainedModel) -> NormCache:
        return _NORM_CACHES.setdefault(dense, NormCache())

    @staticmethod
    def forget(dense: PreTrainedModel) -> None:
        """Forgets all norms of a model, so that the next method measures them again."""
        _NORM_CACHES.pop(dense, None)

    def recall(self, key: str, names: Sequence[str]) -> Mapping[str, Tensor] | None:
        """The norms of these matrices under this key, if all are known."""
        known = self._known.get(key, {})
        return {name: known[name] for name in names} if all(name in known for name in names) else None

    def keep(self, key: str, norms: Mapping[str, Tensor]) -> None:
        self._known.setdefault(key, {}).update(norms)
        self._known.move_to_end(key)
        while len(self._known) > self._most:
            self._known.popitem(last=False)


_NORM_CACHES: WeakKeyDictionary[PreTrainedModel, NormCache] = WeakKeyDictionary()


def _is(a: Tensor, b: Tensor) -> bool:
    return a.data_ptr() == b.data_ptr() and a.shape == b.shape and a.stride() == b.stride()
