"""One pass of a model over windows of tokens, and its logits at a few positions at a time.

The pass ends where the hidden state enters the LM head, so logits of all positions are never in memory together. They
are computed later, from slices of the hidden states, by the head alone if the model's own logits are its output to the
bit, else by the model's own forward method with the backbone left out (soft-caps, scales).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from probes.models.devices import input_device
from probes.models.hooks import Call, Forward, Stop, entering, leaving, replacing_forward, until_stop
from probes.models.rotary import Rotary
from probes.schema.errors import Failure
from probes.system.memory import ran_out

_TRIED = 3
"""Tokens of the pass that the head is tried on."""


class ManyPositions:
    """A causal language model that is read many positions at a time, without a cache."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model
        self.device = input_device(model)
        head = model.get_output_embeddings()
        if not isinstance(head, nn.Module):
            raise Failure("No LM head", f"{type(model).__name__} has no output embeddings to read the hidden state at.")
        self._head = head
        self._head_path = next(path for path, module in model.named_modules() if module is head)
        self._rotary = Rotary(model)
        self._backbone = ""
        self._output: Any = None
        """What the backbone returns, if the logits need the model's forward method."""
        self._find_logits()

    @torch.inference_mode()
    def hidden(self, windows: Sequence[Sequence[int]], padding: int = 0) -> Tensor:
        """The states that enter the LM head, (windows, longest, d). Shorter windows are padded at their end, which no
        earlier position of a causal model sees. Raises `Failure` if memory runs out."""
        longest = max(map(len, windows))
        ids = torch.tensor([[*ids, *[padding] * (longest - len(ids))] for ids in windows], device=self.device)
        found: list[Tensor] = []

        def see(_path: str, call: Call) -> None:
            found.append(call.hidden)
            raise Stop

        self._rotary.restore()
        try:
            with until_stop(), entering(self._head, [""], see):
                self.model(input_ids=ids, use_cache=False)
        except torch.OutOfMemoryError as problem:
            message = ran_out(problem)
            raise Failure(
                "Out of memory",
                f"Reading {len(windows)} × {longest} tokens needed more memory than {self.device} has: {message}",
                "Use a shorter --window, or a smaller dtype (--dtype bfloat16).",
            ) from problem
        return found[0]

    @torch.inference_mode()
    def logits(self, hidden: Tensor, room: Tensor | None = None) -> Tensor:
        """The model's own logits, (n, V), of states that enter its LM head, (n, d).

        `room`, made by `room`, is memory for at least n rows; the logits are then in it until its next use.
        """
        if self._output is not None:
            return self._through_model(hidden)
        if room is not None and isinstance(self._head, nn.Linear):
            return torch.mm(hidden, self._head.weight.t(), out=room[: len(hidden)])
        found: Tensor = self._head(hidden)
        return found

    def room(self, rows: int) -> Tensor | None:
        """Memory for the logits of some rows, (rows, V), if they are products of the states with one matrix: getting
        new memory for each slice takes up to a third of the time of the products."""
        head = self._head
        plain = type(head) is nn.Linear and "forward" not in head.__dict__  # accelerate puts one there
        if not isinstance(head, nn.Linear) or not plain or head.bias is not None or self._output is not None:
            return None
        if head._forward_hooks or head._forward_pre_hooks:
            return None
        return torch.empty(rows, head.out_features, dtype=head.weight.dtype, device=head.weight.device)

    @torch.inference_mode()
    def _find_logits(self) -> None:
        """Tries on a few tokens what the logits are, and remembers how to compute them. Raises `Failure` if they can't
        be computed from the hidden state alone."""
        seen: list[tuple[Tensor, Tensor]] = []
        outputs: list[Any] = []

        def see(_path: str, call: Call, output: object) -> None:
            assert isinstance(output, Tensor)
            seen.append((call.hidden, output))

        name = self.model.base_model_prefix
        backbone = [name] if name and isinstance(getattr(self.model, name, None), nn.Module) else []
        # No text begins with it. Transformers warns if one begins with the token that pads.
        token = int(self.model.config.get_text_config(decoder=True).pad_token_id == 0)
        ids = torch.full((1, _TRIED), token, device=self.device)
        self._rotary.restore()
        with (
            leaving(self._head, [""], see),
            leaving(self.model, backbone, lambda _path, _call, output: outputs.append(output), idle=True),
        ):
            logits = self.model(input_ids=ids, use_cache=False).logits
        hidden, output = seen[-1]
        if torch.equal(logits, output) or (not bool(torch.isfinite(logits).all()) and not outputs):
            return
        if outputs:
            self._backbone, self._output = name, outputs[-1]
            again = self._through_model(hidden[0])
            if torch.equal(again, logits[0]) or torch.allclose(again, logits[0], rtol=1e-4, equal_nan=True):
                return
        raise Failure(
            "Logits",
            f"The logits of {type(self.model).__name__} can't be computed from its hidden state alone.",
            "Score it token by token with phier run --follow text.",
        )

    def _through_model(self, hidden: Tensor) -> Tensor:
        """The model's forward method with the backbone's output and the head's input replaced."""
        stub = self._with_hidden(hidden[None])
        ids = torch.zeros((1, len(hidden)), dtype=torch.long, device=self.device)

        def instead(_forward: Forward) -> Forward:
            return lambda *_args, **_kwargs: stub

        def fed(forward: Forward) -> Forward:
            return lambda *_args, **_kwargs: forward(hidden[None])

        with replacing_forward(self.model, {self._backbone: instead, self._head_path: fed}):
            logits: Tensor = self.model(input_ids=ids, use_cache=False).logits
        return logits[0]

    def _with_hidden(self, hidden: Tensor) -> Any:
        """The backbone's output with other hidden states."""
        if isinstance(self._output, tuple):
            return (hidden, *self._output[1:])
        return type(self._output)(**{**self._output, "last_hidden_state": hidden})
