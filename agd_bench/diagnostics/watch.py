"""Measure a network during training, at log-spaced steps: spectra of blocks, head and convolutions, and the slope of the loss.

Measurements use a copy without dropout, and change neither the network, its statistics and gradients, nor any random generator. There are
two modes:

    train   normalisation with batch statistics, as in a training step (images then depend on each other)
    eval    normalisation with running statistics, as in an evaluation

Networks without running statistics are the same in both modes, and are measured in `eval` only.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from agd_bench.diagnostics.blocks import find_blocks, head_function, inputs_of, submodule
from agd_bench.diagnostics.landscape import Loss, Slope, slope_of, steepness, turning
from agd_bench.diagnostics.spectra import LARGEST_RANK, Spectrum, jacobian_spectrum, operator_spectrum
from agd_bench.errors import Diverged, InputError

Mode = Literal["train", "eval"]
Part = Literal["blocks", "head", "operators", "slope"]
PARTS: tuple[Part, ...] = ("blocks", "head", "operators", "slope")


class Reading(NamedTuple):
    """One measured number at one step.

    Attributes:
        step: number of training steps so far.
        mode: `train` or `eval`; empty if it does not matter, as for a convolution.
        part: `block`, `head`, `operator`, `slope`, or `charge` (the cost of measuring).
        place: name of the module; for the head, the block at whose input it starts; empty for the slope.
        quantity: a key of `Spectrum.numbers`, or `loss`, `steepness` (‖∇l‖² / (l − inf l)), `smoothness` (‖g' − g‖ / ‖w' − w‖ over the
            next step), `gradient_norm`, or `seconds`.
        value: the number.
    """

    step: int
    mode: str
    part: str
    place: str
    quantity: str
    value: float

    @property
    def name(self) -> str:
        """All attributes but the value as one string: `part.quantity.mode@step/place`."""
        return f"{self.part}.{self.quantity}{'.' if self.mode else ''}{self.mode}@{self.step}/{self.place}"


def frozen_copy(network: nn.Module, mode: Mode) -> nn.Module:
    """Return a deterministic copy of a network: without dropout, and with normalisation as in `mode`."""
    # A copy, since a pass in `train` mode updates running statistics; `eval` switches dropout off.
    twin = copy.deepcopy(network).eval()
    if mode == "train":
        for module in twin.modules():
            if isinstance(module, _NormBase):
                module.train()
    return twin


def modes_of(network: nn.Module) -> tuple[Mode, ...]:
    """Return the modes in which a network differs: `train` and `eval`, or only `eval` without running statistics."""
    # Layer and group normalisation keep no running statistics: both modes compute the same.
    keeps = any(isinstance(module, _NormBase) and module.running_mean is not None for module in network.modules())
    return ("train", "eval") if keeps else ("eval",)


def measure(
    network: nn.Module,
    images: Tensor,
    labels: Tensor | None = None,
    loss: Loss | None = None,
    *,
    step: int = 0,
    parts: Sequence[Part] = PARTS,
    blocks: Sequence[str] | None = None,
    operators: Sequence[str] | None = None,
    modes: Sequence[Mode] | None = None,
    infimum: float = 0.0,
    largest_rank: int = LARGEST_RANK,
    probes: int = 32,
    starts: int = 4,
    lanczos_steps: int = 16,
    seed: int = 0,
) -> list[Reading]:
    """Measure a network on a batch. Its state is unchanged.

    Args:
        network: maps images (N, C, H, W) to logits (N, classes).
        images: probe batch, (N, C, H, W); use the same one at every step and for all networks that are compared.
        labels: (N,); required for the slope.
        loss: maps logits and labels to a scalar; required for the slope.
        step: number of training steps so far.
        parts: what to measure: `blocks` (Jacobian of each), `head` (Jacobian of the logits with respect to the first block's input),
            `operators` (convolutions as linear operators), `slope` (loss, gradient norm and steepness).
        blocks: names of the blocks. Default: `find_blocks`.
        operators: names of linear modules. Default: every `nn.Conv2d` that is called once.
        modes: Default: those in which the network differs.
        infimum: of the loss.
        largest_rank: see `jacobian_spectrum`.
        probes: see `jacobian_spectrum`.
        starts: see `jacobian_spectrum`.
        lanczos_steps: `steps` of `jacobian_spectrum`.
        seed: of the random directions.

    Returns:
        One reading per number; `pandas.DataFrame(readings)` is a table with their attributes as columns.

    Raises:
        InputError: a part or module is unknown, a block is not called once with one tensor, or labels or loss is missing for the slope.
        Diverged: a weight, an activation, the loss or its gradient is not finite.
    """
    unknown = sorted(set(parts) - set(PARTS))
    if unknown:
        raise InputError(f"part {unknown[0]!r} is unknown; allowed are {', '.join(PARTS)}")
    if "slope" in parts and (labels is None or loss is None):
        raise InputError("the slope is that of a loss: give labels and loss, or leave 'slope' out of the parts")
    estimate = {"largest_rank": largest_rank, "probes": probes, "starts": starts, "steps": lanczos_steps, "seed": seed}
    rows: list[Reading] = []
    for mode in modes or modes_of(network):
        twin = frozen_copy(network, mode)
        if "slope" in parts and labels is not None and loss is not None:
            # Before gradients of the weights are switched off, which the slope needs.
            rows += _slope_rows(slope_of(twin, loss, images, labels), step, mode, infimum)
        # Jacobians are with respect to inputs: graphs without weights are smaller.
        twin.requires_grad_(False)
        if "blocks" in parts or "head" in parts:
            given = _given_to(twin, images, blocks)
            for name, point in given.items() if "blocks" in parts else ():
                rows += _rows(jacobian_spectrum(submodule(twin, name), point, **estimate), step, mode, "block", name)
            if "head" in parts:
                first = next(iter(given))
                spectrum = jacobian_spectrum(head_function(twin, images, first), given[first], **estimate)
                rows += _rows(spectrum, step, mode, "head", first)
    if "operators" in parts:
        rows += _operator_rows(network, images, operators, step, largest_rank, seed)
    return rows


def _given_to(twin: nn.Module, images: Tensor, blocks: Sequence[str] | None) -> dict[str, Tensor]:
    names = find_blocks(twin, images) if blocks is None else blocks
    given = inputs_of(twin, images, names)
    missing = [name for name in names if name not in given]
    if missing or not given:
        raise InputError(f"blocks {missing}: not called exactly once with one tensor for one tensor; give blocks that are")
    return given


def _operator_rows(
    network: nn.Module, images: Tensor, operators: Sequence[str] | None, step: int, largest_rank: int, seed: int
) -> Iterator[Reading]:
    # A convolution is the same in both modes and for every image, so one image in one mode tells the shape of its input.
    twin = frozen_copy(network, "eval").requires_grad_(False)
    chosen = [name for name, module in twin.named_modules() if isinstance(module, nn.Conv2d)] if operators is None else operators
    for name, given in inputs_of(twin, images[:1], chosen).items():
        channels, height, width = given.shape[1:]
        spectrum = operator_spectrum(submodule(twin, name), (channels, height, width), largest_rank=largest_rank, seed=seed)
        yield from _rows(spectrum, step, "", "operator", name)


def _rows(spectrum: Spectrum, step: int, mode: str, part: str, place: str) -> list[Reading]:
    return [Reading(step, mode, part, place, quantity, value) for quantity, value in spectrum.numbers.items()]


def _slope_rows(slope: Slope, step: int, mode: str, infimum: float) -> list[Reading]:
    numbers = {"loss": slope.loss, "gradient_norm": slope.gradient_norm, "steepness": steepness(slope, infimum)}
    return [Reading(step, mode, "slope", "", quantity, value) for quantity, value in numbers.items() if value is not None]


def log_spaced_steps(last: int) -> tuple[int, ...]:
    """Return 0, 1, 2, 5, 10, 20, 50, … up to `last`.

    Args:
        last: last step of the training, at least 0.
    """
    steps, decade = [0], 1
    while decade <= last:
        steps += [decade * factor for factor in (1, 2, 5) if decade * factor <= last]
        decade *= 10
    return tuple(steps)


class Watch:
    """Measures a network at log-spaced steps of its training, and records the time this takes.

    Call it before the first step and after every step. The smoothness proxy compares gradients of the probe batch before and after the
    step that follows a measurement. Measuring stops when the network diverges or a measurement fails; training continues.

    Attributes:
        readings: all readings so far.
        seconds: time spent on measuring, to be excluded from training time.
        reason: why measuring failed; empty if it did not.

    Args:
        network: in training.
        images: probe batch, (N, C, H, W), on the network's device.
        labels: (N,).
        loss: of the training.
        last: last step of the training.
        parts: what to measure; see `measure`.
        options: further arguments of `measure`.
    """

    def __init__(
        self, network: nn.Module, images: Tensor, labels: Tensor, loss: Loss, last: int, parts: Sequence[Part] = PARTS, **options: object
    ) -> None:
        self.readings: list[Reading] = []
        self.seconds = 0.0
        self.reason = ""
        self._network, self._images, self._labels, self._loss = network, images, labels, loss
        self._options, self._steps = options, frozenset(log_spaced_steps(last))
        self._before: tuple[int, Slope] | None = None
        self._told, self._parts = 0, parts

    def __call__(self, step: int) -> None:
        """Measure if the step is due.

        Args:
            step: number of training steps so far.
        """
        # A follow-up is due one step after a measurement, at steps that are not log-spaced themselves.
        if self._before is None and step not in self._steps:
            return
        begun = time.perf_counter()
        try:
            # First: it compares with the weights before this step's measurement replaces `_before`.
            self._follow_up()
            if step in self._steps:
                self._measure(step)
        # Measuring is an extra: no error of it may end the training.
        except Exception as error:
            self._steps, self._before = frozenset(), None
            if not isinstance(error, Diverged):  # the trial reports divergence itself
                self.reason = f"{type(error).__name__} at step {step}: {' '.join(str(error).split())[:200]}"
        # After a failure too: its time is to be excluded from training time alike.
        self.seconds += time.perf_counter() - begun

    def taken(self, step: int) -> dict[str, float]:
        """Return the readings since the last call, and the seconds so far, by `Reading.name`.

        Args:
            step: number of training steps so far.
        """
        said = [*self.readings[self._told :], Reading(step, "", "charge", "", "seconds", self.seconds)]
        self._told = len(self.readings)
        return {reading.name: reading.value for reading in said}

    def _slope(self) -> Slope:
        return slope_of(frozen_copy(self._network, modes_of(self._network)[0]), self._loss, self._images, self._labels)

    def _follow_up(self) -> None:
        if self._before is None:
            return
        step, slope = self._before
        self._before = None
        value = turning(slope, self._slope())
        if value is not None:
            self.readings.append(Reading(step, modes_of(self._network)[0], "slope", "", "smoothness", value))

    def _measure(self, step: int) -> None:
        measured: Callable[..., list[Reading]] = measure
        self.readings += measured(self._network, self._images, self._labels, self._loss, step=step, parts=self._parts, **self._options)
        if "slope" in self._parts:
            self._before = (step, self._slope())
