"""What a network in training looks like at chosen steps: spectra of its blocks, its head and its convolutions, and its slope.

Nothing here changes the network, its statistics, its gradients or any generator: measured is a copy, without dropout, in one of two modes,

    train   normalisation by the statistics of the batch (which makes its images depend on each other), as a training step computes
    eval    normalisation by the running statistics, as an evaluation computes

A network without batch or instance normalisation that keeps statistics is the same in both, and measured in `eval` alone.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from agd_bench.diagnostics.blocks import find_blocks, head_function, inputs_of, submodule
from agd_bench.diagnostics.convolutions import operator_spectrum
from agd_bench.diagnostics.landscape import Loss, Slope, slope_of, steepness, turning
from agd_bench.diagnostics.spectra import LARGEST_RANK, Spectrum, jacobian_spectrum
from agd_bench.errors import Diverged, InputError

Mode = Literal["train", "eval"]
Part = Literal["blocks", "head", "operators", "slope"]
PARTS: tuple[Part, ...] = ("blocks", "head", "operators", "slope")


class Reading(NamedTuple):
    """One number of a network at one step; a list of them is a table's rows.

    Attributes:
        step: training steps done, from 0.
        mode: `train` or `eval`; empty where it does not matter, as for a convolution.
        part: `block`, `head`, `operator`, `slope`, or `charge` (what measuring cost).
        place: the module's name; of the head, the block whose input it starts from; empty for the slope.
        quantity: of a spectrum, as `Spectrum.numbers` calls it; else `loss`, `steepness` (‖∇l‖² / (l − inf l)), `smoothness`
            (‖g' − g‖ / ‖w' − w‖ over the step that follows), `gradient_norm`, or `seconds`.
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
        """All but the value in one text, for a table of names and values: `part.quantity.mode@step/place`."""
        return f"{self.part}.{self.quantity}{'.' if self.mode else ''}{self.mode}@{self.step}/{self.place}"


def frozen_copy(network: nn.Module, mode: Mode) -> nn.Module:
    """A copy of a network that computes the same at every call: no dropout, and normalisation as `mode` says."""
    twin = copy.deepcopy(network).eval()
    if mode == "train":
        for module in twin.modules():
            if isinstance(module, _NormBase):
                module.train()
    return twin


def modes_of(network: nn.Module) -> tuple[Mode, ...]:
    """The modes in which a network differs: `train` and `eval`, or `eval` alone where nothing keeps running statistics."""
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
    """Measure a network on a batch; its own state stays as it is.

    Args:
        network: maps images (N, C, H, W) to logits (N, classes).
        images: the probe batch, (N, C, H, W); the same one at every step and for every network compared.
        labels: (N,); needed for the slope.
        loss: logits and labels to a scalar; needed for the slope.
        step: training steps done, for the rows.
        parts: what to measure: `blocks` (the Jacobian of each), `head` (that of the logits by the first block's input), `operators`
            (convolutions as linear operators on their inputs' images), `slope` (loss, gradient and steepness).
        blocks: names of the blocks; default: `find_blocks`.
        operators: names of linear modules; default: every `nn.Conv2d` that is called once.
        modes: default: those in which the network differs.
        infimum: of the loss.
        largest_rank: see `jacobian_spectrum`, as for the next ones.
        probes: random directions of the root mean square.
        starts: random starts of Lanczos' iteration.
        lanczos_steps: of each.
        seed: of the random directions.

    Returns:
        One reading per number; `pandas.DataFrame` of the list is a table with the readings' attributes as columns.

    Raises:
        InputError: an unknown part or module, a named block that is not called once with one tensor, or a slope without labels or loss.
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
            rows += _slope_rows(slope_of(twin, loss, images, labels), step, mode, infimum)
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
    """0, 1, 2, 5, 10, 20, 50, … up to `last`.

    Args:
        last: the training's last step, at least 0.
    """
    steps, decade = [0], 1
    while decade <= last:
        steps += [decade * factor for factor in (1, 2, 5) if decade * factor <= last]
        decade *= 10
    return tuple(steps)


class Watch:
    """Measures a network at log-spaced steps of its training, and keeps the time that took apart.

    Call it before the first step and after every step; between the steps it measures at, it does nothing. The smoothness
    proxy compares the gradients of the probe batch before and after the step that follows a measurement. Once the network has diverged
    it measures nothing any more: that is for the training to say. A measurement that fails is the last one, and does not end the training.

    Attributes:
        readings: all that was measured so far.
        seconds: what measuring took, to be left out of the seconds of training.
        reason: why measuring failed; empty where it did not.

    Args:
        network: what is trained.
        images: the probe batch, (N, C, H, W), on the network's device.
        labels: (N,).
        loss: that of the training.
        last: its last step.
        parts: what to measure, as in `measure`.
        options: further ones of `measure`.
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
        """Measure, if it is time.

        Args:
            step: training steps done.
        """
        if self._before is None and step not in self._steps:
            return
        begun = time.perf_counter()
        try:
            self._follow_up()
            if step in self._steps:
                self._measure(step)
        except Exception as error:
            self._steps, self._before = frozenset(), None
            if not isinstance(error, Diverged):
                self.reason = f"{type(error).__name__} at step {step}: {' '.join(str(error).split())[:200]}"
        self.seconds += time.perf_counter() - begun

    def taken(self, step: int) -> dict[str, float]:
        """The readings since the last call by name, with the seconds so far, all of them `part.quantity.mode@step/place`.

        Args:
            step: training steps done.
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
