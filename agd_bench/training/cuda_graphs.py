"""Whole training steps as one CUDA graph: captured once per training, then one launch per step instead of hundreds.

The graph contains the batch (selected by a counter on the device from the epoch's random draws), its normalisation, forward, loss,
backward, the optimizer's step and the sums of loss and correct answers. Host and device only exchange the epoch's numbers at its start
and two sums at its end.

Eager and replayed steps launch the same kernels on the same numbers. Steps that cannot be captured are known from explicit lists
(`capture_obstacle`), detected in an eager step (`Witness`), or found when the capture fails; then all steps run eagerly.

References:
    PyTorch documentation, 'CUDA semantics', section 'CUDA Graphs' (warm-up on a side stream, static tensors, one capture at a time).
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import pairwise
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from agd_bench.training.concurrency import own_stream
from agd_bench.training.data import Drawn, ImageSet, bounds, draw
from agd_bench.training.device_faults import describe, is_out_of_memory
from agd_bench.training.fit import Fit
from agd_bench.training.turns import DEFAULT_GENERATORS, Turn

WARM_UP_STEPS = 3
"""Eager steps before the capture: the first creates states, the second is observed, the third is like all that follow."""
WAITING = {"_local_scalar_dense", "nonzero", "equal", "masked_select", "is_nonzero"}
"""Operations whose result the host needs, so it waits for the device."""
# Can be captured within one device, but not between host and device.
COPYING = {"_to_copy", "copy_"}
ONE_AT_A_TIME = Turn()
"""Held by a capture and each launch of a graph: torch allows one capture per process, and graphs share the state of its generators."""


class Recorder(Protocol):
    """Records work on the device so it can be replayed."""

    def side(self) -> AbstractContextManager[None]:
        """Context in which all steps of a training run, including eager ones."""

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        """Record the work without executing it; the returned function executes it."""


class GraphRecorder:
    """CUDA graphs on this thread's own stream."""

    def __init__(self, device: torch.device) -> None:
        self._stream = own_stream(device)
        self._nothing = torch.zeros((), device=device)
        # One pool for the graphs of a training, which never run at the same time; another training's may, so it has its own.
        self._pool: Any = torch.cuda.graph_pool_handle()

    @contextmanager
    def side(self) -> Iterator[None]:
        """The stream, ordered after the work so far of the current one and before its next; backward passes stay in this thread."""
        current = torch.cuda.current_stream(self._stream.device)
        self._stream.wait_stream(current)
        # Autograd would run the backward pass in a separate thread, but it must be the thread that captures.
        with torch.cuda.stream(self._stream), torch.autograd.grad_mode.set_multithreading_enabled(False):
            try:
                yield
            finally:
                current.wait_stream(self._stream)

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        """Record the work into a graph.

        Raises:
            torch.OutOfMemoryError: memory ran out.
            Exception: the work cannot be captured.
        """
        graph = torch.cuda.CUDAGraph()
        shortage = ""
        try:
            with self._capturing(graph, self._pool):
                try:
                    work()
                except Exception as error:
                    # As text, because the error's traceback would keep the step's tensors in memory.
                    shortage = describe(error) if is_out_of_memory(error) else ""
                    raise
        except Exception:
            self._recover()
            if not shortage:
                raise
        if shortage:  # ending the capture fails too, with a different error
            raise torch.OutOfMemoryError(shortage)

        def replay() -> None:
            with ONE_AT_A_TIME:
                graph.replay()

        return replay

    @contextmanager
    def _capturing(self, graph: torch.cuda.CUDAGraph, pool: Any = None) -> Iterator[None]:
        # Not torch.cuda.graph(), which waits for the whole device: other trainings run on it.
        with DEFAULT_GENERATORS, ONE_AT_A_TIME, torch.cuda.stream(self._stream):
            # thread_local: by default ("global") an allocation in another training's thread would end the capture.
            graph.capture_begin(pool=pool, capture_error_mode="thread_local")
            try:
                yield
            finally:
                graph.capture_end()

    def _recover(self) -> None:
        """Clean up after a failed capture: torch 2.11's generator stays in capture mode until a capture succeeds."""
        with contextlib.suppress(Exception), self._capturing(torch.cuda.CUDAGraph()):
            # Torch warns about a graph without kernels.
            self._nothing.zero_()


class Witness(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records the operation of a step that makes host or device wait for the other, which cannot be captured."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.reason = ""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func._opname in WAITING:
            self.reason = f"a step waits for the device ({func._opname})"
        elif func._opname in COPYING:
            devices = {leaf.device.type for leaf in tree_leaves((args, kwargs or {}, result)) if isinstance(leaf, Tensor)}
            if len(devices) > 1:
                self.reason = f"a step moves values between host and device ({func._opname})"
        return result


def capturable(optimizer: Optimizer) -> bool:
    """Whether all steps of the optimizer execute the same work on the device, except for the numbers of `numbers_of`.

    Optimizers of agd-bench have an attribute `capturable`. Torch's fused optimizers read their rate from the device.
    """
    # By exact type, because a subclass may have a different step.
    if type(optimizer) in (SGD, Adam, AdamW):
        return all(group["fused"] for group in optimizer.param_groups)
    return bool(getattr(optimizer, "capturable", False))


def numbers_of(optimizer: Optimizer, group: dict[str, Any], ahead: int) -> tuple[float, ...]:
    """The numbers that a step reads from the host for a group.

    Args:
        optimizer: capturable.
        group: one of its groups, with the learning rate of that step.
        ahead: number of steps between the next one and that one.
    """
    if type(optimizer) in (SGD, Adam, AdamW):
        return (float(group["lr"]),)
    numbers = getattr(optimizer, "numbers", None)
    return () if numbers is None else tuple(numbers(group, ahead))


def capture_obstacle(fit: Fit) -> str:
    """Why the steps of a training cannot be captured, if known before the first one; otherwise empty."""
    optimizer, scheduler = fit.optimizer, fit.scheduler
    # Watching reads values between steps or within a step.
    if fit.watch is not None or fit.replay is not None or fit.diagnosed:
        return "its steps are watched"
    if not capturable(optimizer):
        return f"steps of {type(optimizer).__name__} are not known to do the same on the device each time"
    # LambdaLR computes its rate only from the step number; others, such as ReduceLROnPlateau, depend on results.
    if scheduler is not None and type(scheduler) is not LambdaLR:
        return f"rates of {type(scheduler).__name__} are not known to follow from the number of steps"
    return ""


def capture_steps(fit: Fit, device: torch.device) -> None:
    """Let a training on a GPU capture its steps, or record why they run eagerly."""
    fit.eager_reason = capture_obstacle(fit) if device.type == "cuda" else "not on a GPU"
    fit.capture = None if fit.eager_reason else Capture(fit, GraphRecorder(device))


class Capture:
    """The steps of one training: eager until they are captured, then replayed.

    Attributes:
        reason: why its steps remain eager; empty otherwise.
        replays: steps replayed so far.
    """

    def __init__(self, fit: Fit, recorder: Recorder) -> None:
        """Initialise without capturing anything yet.

        Args:
            fit: a training without an obstacle (`capture_obstacle`); not kept alive.
            recorder: recorder of its device.
        """
        self.reason, self.replays = "", 0
        # a reference cycle would keep a trained network and its graph on the device until Python's garbage collector runs
        self._fit: Fit = weakref.proxy(fit)
        self._recorder = recorder
        # A graph has fixed shapes: one for each size of a batch, the usual one and that of the last batch.
        self._graphs: dict[int, Callable[[], None]] = {}
        self._written: dict[int, list[Any]] = {}
        self._eager_steps, self._eager_sizes = 0, set[int]()
        self._evaluation: _Evaluation | None = None
        self._images: ImageSet | None = None
        self._batch_size: int
        self._drawn: Drawn
        self._course: Tensor

    def train_epoch(self, images: ImageSet, batch_size: int, drawn: Drawn) -> tuple[Tensor, Tensor]:
        """One pass over a split.

        Args:
            images: the training split.
            batch_size: images per step.
            drawn: order, crops and flips of the epoch.

        Returns:
            Summed loss and number of correct answers, 0-dim, on the device.

        Raises:
            DeadlineExceeded: the trial's time is up.
        """
        limits = bounds(len(drawn.order), batch_size)
        with self._recorder.side():
            self._begin(images, batch_size, drawn, len(limits) - 1)
            replayed = 0
            try:
                for start, end in pairwise(limits):
                    self._fit.check_deadline()
                    replayed = end - start if self._one_step(end - start) else 0
                    self._fit.steps += 1
            finally:
                self._settle(replayed)
            # Clones, because the next epoch sets the sums to zero in place.
            return self._loss.clone(), self._correct.clone()

    def _rates(self) -> list[Any]:
        return [group.get("lr") for group in self._fit.optimizer.param_groups]

    def _begin(self, images: ImageSet, batch_size: int, drawn: Drawn, steps: int) -> None:
        """Write the epoch's data to the addresses that the graph reads."""
        table = self._table(steps)
        # A graph reads fixed addresses: refill these tensors; only a different split or batch size requires a new graph.
        if self._images is images and self._batch_size == batch_size and len(self._drawn.order) == len(drawn.order):
            self._drawn.become(drawn)
            self._course.copy_(table)
        else:
            device = images.labels.device
            self._images, self._batch_size, self._drawn = images, batch_size, drawn.on(device)
            self._graphs.clear()
            self._eager_steps, self._eager_sizes = 0, set()
            # One image more than the usual batch: a single one left over joins the last batch.
            self._range = torch.arange(batch_size + 1, device=device)
            # The step within the epoch; on the device, because a replay repeats the captured host values.
            self._counter = torch.zeros(1, dtype=torch.int64, device=device)
            self._loss, self._correct = torch.zeros((), device=device), torch.zeros((), device=device)
            self._course = table.to(device)
            self._now = self._course[:1].clone()
        for total in (self._counter, self._loss, self._correct):
            total.zero_()
        self._lay_out_numbers()

    def _table(self, steps: int) -> Tensor:
        """The numbers that the steps of the epoch read from the host, (steps, numbers). Advances the schedule through the whole epoch."""
        optimizer, scheduler = self._fit.optimizer, self._fit.scheduler
        rows = []
        # Rates and Adam's bias corrections follow from the step number, not from results, so they are known before the epoch.
        for ahead in range(steps):
            rows.append([value for group in optimizer.param_groups for value in numbers_of(optimizer, group, ahead)])
            if scheduler is not None:
                optimizer._opt_called = True  # type: ignore[attr-defined]  # torch warns if a scheduler steps before its optimizer
                scheduler.step()
        self._after = self._rates()
        return torch.tensor(rows, dtype=torch.float32)

    def _lay_out_numbers(self) -> None:
        """Let the optimizer read its numbers from the device; a tensor replaces each rate."""
        optimizer, place = self._fit.optimizer, 0
        for group in optimizer.param_groups:
            count = len(numbers_of(optimizer, group, 0))
            own = tuple(self._now[0, place : place + count].unbind())
            place += count
            if type(optimizer) in (SGD, Adam, AdamW):
                # Torch's fused kernels read a tensor rate from the device.
                group["lr"] = own[0]
            elif own:
                group["numbers"] = own

    def _settle(self, replayed: int) -> None:
        """Leave the optimizer as eager steps would, with the rate of the last step; `replayed` is its size, 0 if it was eager."""
        optimizer = self._fit.optimizer
        for number, group in enumerate(optimizer.param_groups):
            if group.pop("numbers", None) is not None or type(optimizer) in (SGD, Adam, AdamW):
                group["lr"] = self._after[number]
            # The tensor to which the graph writes the automatic rate; an eager step has replaced it by another one.
            elif replayed:
                group["lr"] = self._written[replayed][number]

    def _one_step(self, size: int) -> bool:
        """One step on a batch; whether it was replayed."""
        # Eager steps create what a capture requires: optimizer states, cuDNN plans, cuBLAS workspaces.
        warm = self._eager_steps >= WARM_UP_STEPS and size in self._eager_sizes
        if size not in self._graphs and not (warm and not self.reason and self._capture(size)):
            self._eager_steps += 1
            self._eager_sizes.add(size)
            with Witness() if self._eager_steps == 2 else nullcontext() as witness:
                self._step(size)
            self.reason = self.reason or ("" if witness is None else witness.reason)
            return False
        self._graphs[size]()
        self.replays += 1
        self._note_replays(1)
        return True

    def _capture(self, size: int) -> bool:
        """Capture a step on so many images without doing it; whether that was possible.

        Raises:
            torch.OutOfMemoryError: memory ran out.
        """
        optimizer = self._fit.optimizer
        # A capture runs the optimizer's Python code, which counts a step, but not its kernels.
        before = _host_state(optimizer)
        try:
            with _promised(optimizer):
                self._graphs[size] = self._recorder.capture(lambda: self._step(size))
        except Exception as error:
            # No evidence about the step: the scheduler decides whether to repeat the trial alone.
            if is_out_of_memory(error):
                raise
            _restore_host_state(optimizer, before)
            self.reason = f"a step cannot be captured ({describe(error)})"
            return False
        self._written[size] = self._rates()
        self._note_replays(-1)  # the optimizer counted a step that was not executed
        return True

    def _note_replays(self, count: int) -> None:
        """Correct the step count of an optimizer that counts on the host."""
        replayed = getattr(self._fit.optimizer, "replayed", None)
        if replayed is not None:
            replayed(count)

    def _step(self, size: int) -> None:
        """One update, with the images and the numbers of the step that the counter points to."""
        assert self._images is not None
        # In place, (1, numbers): the optimizer's groups hold views of it.
        self._now.copy_(self._course.index_select(0, self._counter))
        rows = self._counter * self._batch_size + self._range[:size]
        loss, correct = self._fit.update(*self._drawn.part(rows).batch(self._images))
        self._loss.add_(loss)
        self._correct.add_(correct)
        self._counter.add_(1)

    def evaluate(self, images: ImageSet, batch_size: int) -> tuple[Tensor, Tensor]:
        """One pass over a split without training: eager the first time, then replayed.

        Args:
            images: the split.
            batch_size: images per batch.

        Returns:
            Summed cross-entropy and number of correct answers, 0-dim, on the device.
        """
        if self._evaluation is None or self._evaluation.images is not images:
            self._evaluation = _Evaluation(self._fit, images, batch_size, None if self.reason else self._recorder)
        with self._recorder.side():
            return self._evaluation()


class _Evaluation:
    """Passes over one split without training."""

    def __init__(self, fit: Fit, images: ImageSet, batch_size: int, recorder: Recorder | None) -> None:
        self.images = images
        self._fit, self._recorder = fit, recorder
        device, count = images.labels.device, len(images.labels)
        self._limits = bounds(count, batch_size)
        self._drawn = draw(images, torch.arange(count)).on(device)
        self._range = torch.arange(batch_size + 1, device=device)
        self._start, self._correct = torch.zeros(1, dtype=torch.int64, device=device), torch.zeros((), device=device)
        self._loss = torch.zeros((), device=device)
        self._graphs: dict[int, Callable[[], None]] | None = None

    def __call__(self) -> tuple[Tensor, Tensor]:
        for total in (self._start, self._loss, self._correct):
            total.zero_()
        # The first pass warms up.
        for start, end in pairwise(self._limits):
            if not self._replayed(end - start):
                self._score(end - start)
        self._graphs = {} if self._graphs is None else self._graphs
        return self._loss.clone(), self._correct.clone()

    def _replayed(self, size: int) -> bool:
        if self._graphs is None or self._recorder is None:
            return False
        if size not in self._graphs:
            try:
                self._graphs[size] = self._recorder.capture(lambda: self._score(size))
            except Exception as error:
                if is_out_of_memory(error):
                    raise
                # What cannot be captured in evaluation alone says nothing about the steps of the training.
                self._recorder = None
                return False
        self._graphs[size]()
        return True

    def _score(self, size: int) -> None:
        rows = self._start + self._range[:size]
        loss, correct = self._fit.score(*self._drawn.part(rows).batch(self.images))
        self._loss.add_(loss)
        self._correct.add_(correct)
        self._start.add_(size)


HostState = tuple[list[dict[str, Any]], dict[Tensor, dict[str, Any]]]


def _host_state(optimizer: Optimizer) -> HostState:
    """The state of an optimizer on the host: its settings, and its counters by parameter."""
    return [dict(group) for group in optimizer.param_groups], {parameter: dict(state) for parameter, state in optimizer.state.items()}


def _restore_host_state(optimizer: Optimizer, before: HostState) -> None:
    """Restore the host state after a failed capture, which had no effect on the device."""
    for group, settings in zip(optimizer.param_groups, before[0], strict=True):
        group.clear()
        group.update(settings)
    for parameter, state in before[1].items():
        optimizer.state[parameter] = state


@contextmanager
def _promised(optimizer: Optimizer) -> Iterator[None]:
    """Set the flag that torch's Adam requires for capturing and warns about in eager steps."""
    groups = [group for group in optimizer.param_groups if "capturable" in group]
    flags = [group["capturable"] for group in groups]
    for group in groups:
        group["capturable"] = True
    try:
        yield
    finally:
        for group, flag in zip(groups, flags, strict=True):
            group["capturable"] = flag
