"""A step recorder that needs no GPU: it records every operation at torch's dispatcher and replays them on the same tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from agd_bench.training.cuda_graphs import WAITING

Noted = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any], Any]


class _Tape(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.noted: list[Noted] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func._opname in WAITING:
            raise RuntimeError(f"operation not permitted when stream is capturing: {func}")
        result = func(*args, **(kwargs or {}))
        self.noted.append((func, args, kwargs or {}, result))
        return result


def _repeat(noted: Noted) -> None:
    """Repeat an operation and write its result to the original output tensors, as a graph's kernels do."""
    func, args, kwargs, before = noted
    for new, old in zip(tree_leaves(func(*args, **kwargs)), tree_leaves(before), strict=True):
        if isinstance(old, Tensor) and old.numel() and new.untyped_storage().data_ptr() != old.untyped_storage().data_ptr():
            old.copy_(new)


class _NoEffect(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Runs operations normally but records in-place writes to existing tensors for undoing, since a CUDA capture executes nothing."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        tensors = [leaf for leaf in tree_leaves((args, kwargs or {})) if isinstance(leaf, Tensor)]
        before = [tensor.clone() for tensor in tensors]
        result = func(*args, **(kwargs or {}))
        for tensor, value in zip(tensors, before, strict=True):
            if not torch.equal(tensor, value):
                self.undo.append((tensor, value))
        return result

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.undo: list[tuple[Tensor, Tensor]] = []


def _without_effect(work: Callable[[], None]) -> None:
    """Run the work's Python code and restore every tensor that it wrote to."""
    with _NoEffect() as mode:
        work()
    with torch.no_grad():
        for tensor, value in reversed(mode.undo):
            tensor.copy_(value)


class TapeRecorder:
    """`cuda_graphs.GraphRecorder` for the CPU: replays repeat the operations only, and all other Python code runs just once.

    Args:
        fault: the exception that a capture raises at its end, as CUDA would, or None if it succeeds.
    """

    def __init__(self, fault: Exception | None = None) -> None:
        self._fault = fault
        self.captures = 0

    @contextmanager
    def side(self) -> Iterator[None]:
        """Do nothing, since a CPU has no side stream."""
        yield

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        """Record the work and return its replay; recording already does the work, so the first replay is a no-op."""
        self.captures += 1
        if self._fault is not None:
            _without_effect(work)
            raise self._fault
        with _Tape() as tape:
            work()
        done = [True]

        @torch.inference_mode()  # evaluation creates inference tensors, which are otherwise read-only
        def replay() -> None:
            if done:
                done.clear()
                return
            for noted in tape.noted:
                _repeat(noted)

        return replay
