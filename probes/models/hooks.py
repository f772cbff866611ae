"""Watches the modules of a model while it runs, stops a pass at one, or changes what one returns.

A hook lasts as long as its `with` block, even if the block raises. If a watched module never ran, that is an error
unless `idle` allows it: otherwise a hook without effect would go unnoticed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass

from torch import Tensor, nn

from probes.schema.errors import Failure

Forward = Callable[..., object]
Arguments = tuple[tuple[object, ...], Mapping[str, object]]
"""Positional and keyword arguments."""


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """The arguments that a module is called with."""

    args: tuple[object, ...]
    kwargs: Mapping[str, object]

    @property
    def hidden(self) -> Tensor:
        """The hidden state that enters a block, a sublayer, a norm or a matrix."""
        hidden = self.args[0] if self.args else self.kwargs["hidden_states"]
        assert isinstance(hidden, Tensor)
        return hidden

    @property
    def rest(self) -> Arguments:
        """All arguments but the hidden state."""
        return self.args[1:], {key: value for key, value in self.kwargs.items() if self.args or key != "hidden_states"}

    def with_hidden(self, forward: Forward, hidden: Tensor) -> object:
        """Calls `forward` with these arguments and another hidden state."""
        if self.args:
            return forward(hidden, *self.args[1:], **self.kwargs)
        return forward(**{**self.kwargs, "hidden_states": hidden})


class Stop(BaseException):
    """Ends a forward pass early. It is not an `Exception`, so code that catches errors does not catch it."""


def until_stop() -> AbstractContextManager[None]:
    """Ends its block quietly if a hook raises `Stop`."""
    return suppress(Stop)


@contextmanager
def entering(
    model: nn.Module, paths: Iterable[str], see: Callable[[str, Call], None], *, idle: bool = False
) -> Iterator[None]:
    """Calls `see(path, call)` whenever one of these modules is about to run."""

    def hook(path: str) -> Callable[..., None]:
        return lambda _module, args, kwargs: see(path, Call(args, kwargs))

    with _hooked(model, paths, "register_forward_pre_hook", hook, idle):
        yield


@contextmanager
def leaving(
    model: nn.Module, paths: Iterable[str], see: Callable[[str, Call, object], None], *, idle: bool = False
) -> Iterator[None]:
    """Calls `see(path, call, output)` whenever one of these modules has run."""

    def hook(path: str) -> Callable[..., None]:
        return lambda _module, args, kwargs, output: see(path, Call(args, kwargs), output)

    with _hooked(model, paths, "register_forward_hook", hook, idle):
        yield


@contextmanager
def changing_output(model: nn.Module, path: str, change: Callable[[object], object]) -> Iterator[None]:
    """Makes a module return `change(output)` instead of its output."""

    def hook(_path: str) -> Callable[..., object]:
        return lambda _module, _args, _kwargs, output: change(output)

    with _hooked(model, [path], "register_forward_hook", hook, idle=False):
        yield


@contextmanager
def stopping_at(model: nn.Module, path: str) -> Iterator[None]:
    """Ends the forward pass in its block at this module, or at any other `Stop`."""

    def stop(_path: str, _call: Call) -> None:
        raise Stop

    with until_stop(), entering(model, [path], stop, idle=True):
        yield


@contextmanager
def replacing_forward(model: nn.Module, replacements: Mapping[str, Callable[[Forward], Forward]]) -> Iterator[None]:
    """Replaces the forward method of each module: the function at its path gets the old method and returns the new
    one."""
    with ExitStack() as stack:
        for path, made_of in replacements.items():
            module = model.get_submodule(path)
            own = module.__dict__.get("forward")  # accelerate puts one there to move weights in and out
            module.__dict__["forward"] = made_of(module.forward)
            stack.callback(_put_back, module, own)
        yield


def at_gradient(tensor: Tensor, see: Callable[[Tensor], None]) -> None:
    """Calls `see(gradient)` when a backward pass reaches a tensor, as long as the tensor lasts."""
    tensor.register_hook(see)


def first_of(output: object) -> Tensor:
    """The hidden state in the output of a block or a sublayer."""
    hidden = output[0] if isinstance(output, tuple) else output
    assert isinstance(hidden, Tensor)
    return hidden


@contextmanager
def _hooked(
    model: nn.Module, paths: Iterable[str], register: str, hook: Callable[[str], Callable[..., object]], idle: bool
) -> Iterator[None]:
    ran: set[str] = set()

    def noted(path: str) -> Callable[..., object]:
        look = hook(path)

        def called(*args: object) -> object:
            ran.add(path)
            return look(*args)

        return called

    with ExitStack() as stack:
        watched = list(paths)
        for path in watched:
            module = model.get_submodule(path)
            stack.callback(getattr(module, register)(noted(path), with_kwargs=True).remove)
        yield
    missing = [path for path in watched if path not in ran]
    if missing and not idle:
        raise Failure(
            "Never ran",
            f"{missing[0]} of {type(model).__name__} never ran, so nothing could be seen or changed there.",
            "Name other layers or matrices.",
        )


def _put_back(module: nn.Module, forward: object) -> None:
    if forward is None:
        del module.__dict__["forward"]
    else:
        module.__dict__["forward"] = forward
