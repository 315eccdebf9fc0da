"""Replicas: K trainings of one architecture, with their own seeds, weights and optimizers, in one set of kernels.

The K networks' weights live behind one another, (K, out, in), and each network's own parameters are views of them. A forward pass takes
all batches in a row: what treats images one by one (activations, pooling, flattening) needs no change, and a linear layer becomes one
batched product. So this is for networks whose weights all belong to linear layers, fully connected ones above all; `unfit` says why
another is not. Each replica computes what it computes alone, to rounding, and one that diverges leaves the others as they are.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.utils import parametrize

from agd_bench.optim.agd import AGD
from agd_bench.optim.replicated_agd import ReplicatedAGD
from agd_bench.training.data import ImageSet, batches
from agd_bench.training.loop import Fit

Batch = tuple[Tensor, Tensor]
"""Images (N, C, H, W) and labels (N,)."""
TOLERANCE = {"float32": 1e-3, "bfloat16": 0.1}
"""Largest difference between logits in a pack and alone, relative to the largest logit, in each precision; rounding is far below."""
LEAST_GAIN = 1.1
"""How many times as fast as one after the other a pack must be."""
TIMED = 3


class _Linear(nn.Module):
    """K linear layers on K batches in a row."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.bias = None if bias is None else nn.Parameter(bias)

    def forward(self, values: Tensor) -> Tensor:
        """(K N, …, in) to (K N, …, out)."""
        count, outputs, inputs = self.weight.shape
        rows = values.reshape(count, -1, inputs)
        product = rows @ self.weight.mT if self.bias is None else torch.baddbmm(self.bias.unsqueeze(1), rows, self.weight.mT)
        return product.view(*values.shape[:-1], outputs)


def unfit(fit: Fit) -> str:
    """Why a training cannot be one of a pack, by its layers; empty if it can.

    Whether layers of other kinds treat images one by one is not known from their names: `Pack.deviation` tells.
    """
    for name, module in fit.network.named_modules():
        own = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
        linear = type(module) is nn.Linear
        if (own and not linear) or isinstance(module, _DropoutNd) or parametrize.is_parametrized(module):
            return f"{name or 'the network'} is a {type(module).__name__}; packs are for networks whose state is that of linear layers"
    if not any(True for _ in fit.network.parameters()):
        return "nothing to train"
    if fit.diagnosed or fit.watch is not None or fit.replay is not None or hasattr(fit.optimizer, "eval"):
        return "its optimizer or network is watched, or evaluated at other weights than are trained"
    return ""


@dataclass
class _Joint:
    """One parameter of the K networks: where all lie, and the K views."""

    stacked: nn.Parameter
    own: list[Tensor]


class Pack:
    """K trainings that step together.

    Args:
        fits: their networks of one architecture, losses, optimizers and schedules; `unfit` in none. From now on the networks'
            parameters are views of the pack's, so that optimizers, checkpoints and evaluation go on with them.
    """

    def __init__(self, fits: Sequence[Fit]) -> None:
        self.fits = list(fits)
        self._joints: list[_Joint] = []
        self._network = self._joined()
        self._together = self._agd()

    def __len__(self) -> int:
        return len(self.fits)

    def _joined(self) -> nn.Module:
        """The network of all replicas, its linear layers replaced; a layer that stands at two places stays one."""
        networks = [fit.network for fit in self.fits]
        made: dict[nn.Module, _Linear] = {}
        others = [dict(network.named_modules()) for network in networks]
        skeleton = copy.deepcopy(networks[0])
        for name, module in networks[0].named_modules(remove_duplicate=False):
            if type(module) is nn.Linear:
                if module not in made:
                    made[module] = self._stacked([modules[self._first_name(module, others[0])] for modules in others])
                if not name:
                    return made[module]
                parent, _, child = name.rpartition(".")
                skeleton.get_submodule(parent)._modules[child] = made[module]
        return skeleton

    @staticmethod
    def _first_name(module: nn.Module, modules: dict[str, nn.Module]) -> str:
        return next(name for name, other in modules.items() if other is module)

    def _stacked(self, layers: Sequence[nn.Module]) -> _Linear:
        def stack(name: str) -> Tensor | None:
            tensors = [getattr(layer, name) for layer in layers]
            return None if tensors[0] is None else torch.stack([tensor.detach() for tensor in tensors])

        weight = stack("weight")
        assert weight is not None
        joined = _Linear(weight, stack("bias"))
        for name, stacked in joined.named_parameters():
            own = [getattr(layer, name) for layer in layers]
            for parameter, view in zip(own, stacked.detach().unbind(), strict=True):
                parameter.data = view
            self._joints.append(_Joint(stacked, own))
        return joined

    def _agd(self) -> ReplicatedAGD | None:
        """AGD for all at once, where AGD as published is what trains them, every parameter in one group."""
        optimizers = [fit.optimizer for fit in self.fits]
        groups = [optimizer.param_groups for optimizer in optimizers]
        if any(type(o) is not AGD or len(g) != 1 or g[0]["norm"] != "frobenius" for o, g in zip(optimizers, groups, strict=True)):
            return None
        return ReplicatedAGD([joint.stacked for joint in self._joints], [float(group[0]["gain"]) for group in groups])

    def logits(self, images: Tensor) -> Tensor:
        """Of K batches in a row, (K N, C, H, W): (K, N, classes), in float32."""
        with self.fits[0].arithmetic(images.device):
            found: Tensor = self._network(images)
        return found.float().view(len(self.fits), -1, found.shape[-1])

    def losses(self, given: Sequence[Batch]) -> tuple[Tensor, Tensor]:
        """The K losses, and the numbers of correct answers, both (K,)."""
        logits = self.logits(torch.cat([images for images, _ in given]))
        labels = [own for _, own in given]
        losses = torch.stack([fit.loss(one, own) for fit, one, own in zip(self.fits, logits.unbind(), labels, strict=True)])
        return losses, (logits.detach().argmax(2) == torch.stack(labels)).sum(1)

    def step(self, given: Sequence[Batch]) -> tuple[Tensor, Tensor]:
        """One update of each; summed losses and numbers of correct answers stay on the device, both (K,).

        Args:
            given: one batch of each replica, equally long.

        Raises:
            DeadlineExceeded: the time of one is up.
        """
        for fit in self.fits:
            fit.check_deadline()
        losses, correct = self.losses(given)
        # The sum's gradient with respect to each loss is 1, whatever the others are.
        torch.autograd.backward((losses.sum(),))
        if self._together is not None:
            self._together.step()
        self._step_each(own_updates=self._together is None)
        for joint in self._joints:
            joint.stacked.grad = None
        return losses.detach() * len(given[0][1]), correct

    def _step_each(self, own_updates: bool) -> None:
        """What remains for each replica: its own optimizer, if they are not stepped together, and its schedule."""
        if own_updates:
            for joint in self._joints:
                gradients = [None] * len(self.fits) if joint.stacked.grad is None else joint.stacked.grad.unbind()
                for parameter, gradient in zip(joint.own, gradients, strict=True):
                    parameter.grad = gradient
        for fit in self.fits:
            if own_updates:
                fit.optimizer.step()
            if fit.scheduler is not None:
                fit.scheduler.step()
            fit.steps += 1

    def settle(self) -> None:
        """Leave each replica as if it had trained alone: its optimizer knows its last rate, gradients are gone."""
        for number, fit in enumerate(self.fits):
            if self._together is not None:
                fit.optimizer.param_groups[0]["lr"] = self._together.param_groups[0]["lr"][number].clone()
            fit.optimizer.zero_grad(set_to_none=True)

    @torch.no_grad()
    def deviation(self, given: Sequence[Batch]) -> float:
        """The largest difference between logits in the pack and alone, relative to the largest logit; infinite for other shapes."""
        together = self.logits(torch.cat([images for images, _ in given]))
        worst = 0.0
        for fit, one, (images, _) in zip(self.fits, together, given, strict=True):
            with fit.arithmetic(images.device):
                alone = fit.network(images).float()
            if alone.shape != one.shape:
                return float("inf")
            worst = max(worst, float((alone - one).abs().max() / alone.abs().max().clamp_min(1e-30)))
        return worst

    def gain(self, given: Sequence[Batch]) -> float:
        """How many times as fast as one after the other the pack computes losses and gradients; nothing is updated."""
        device = given[0][0].device

        def together() -> None:
            torch.autograd.grad(self.losses(given)[0].sum(), [joint.stacked for joint in self._joints], allow_unused=True)

        def apart() -> None:
            for fit, (images, labels) in zip(self.fits, given, strict=True):
                with fit.arithmetic(device):
                    logits = fit.network(images)
                torch.autograd.grad(fit.loss(logits.float(), labels), list(fit.network.parameters()), allow_unused=True)

        seconds = {}
        for work in (together, apart, together, apart):  # the first of each warms up
            begun = _now(device)
            for _ in range(TIMED):
                work()
            seconds[work] = _now(device) - begun
        return seconds[apart] / seconds[together]


def _now(device: torch.device) -> float:
    """CPU seconds of this process on a CPU, which others disturb less; elsewhere wall-clock seconds, after waiting for the device."""
    if device.type == "cpu":
        return time.process_time()
    torch.cuda.synchronize(device)
    return time.perf_counter()


def try_pack(fits: Sequence[Fit], given: Sequence[Batch], least_gain: float = LEAST_GAIN) -> tuple[Pack | None, str]:
    """A pack, if it computes what the trainings compute alone and pays.

    Args:
        fits: at least two, in the same state of the same training.
        given: one batch of each, to try it on; nothing is updated.
        least_gain: how many times as fast it must be, by a short measurement; 0: whatever it is.

    Returns:
        The pack; or null, and the reason.
    """
    reason = next((reason for reason in map(unfit, fits) if reason), "")
    if reason:
        return None, reason
    pack = Pack(fits)
    try:
        deviation = pack.deviation(given)
    except RuntimeError as error:  # a layer that needs to know how many images there are
        return None, f"its layers do not take several batches in a row: {' '.join(str(error).split())[:200]}"
    if not deviation <= TOLERANCE[fits[0].precision]:
        return None, f"logits differ by {deviation:.2g} from those alone: its images are not independent"
    gain = pack.gain(given) if least_gain > 0 else 1.0
    if gain < least_gain:
        return None, f"{gain:.2f} times as fast as one after the other; {least_gain:g} is asked for"
    return pack, ""


def streams(images: ImageSet, batch_size: int, seeds: Sequence[int], augment: bool) -> Iterator[list[Batch]]:
    """For each step the batches of all replicas, each in the order and augmentation that follow from its own seed.

    Replicas of one seed, such as tuning runs that try each proposal from equal seeds, share a batch, which is drawn once.

    Args:
        images: the training split.
        batch_size: images a step.
        seeds: of this epoch, one a replica.
        augment: whether the data set's standard augmentation is applied.
    """
    own = {}
    for seed in dict.fromkeys(seeds):
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(images.labels), generator=generator)
        own[seed] = batches(images, batch_size, order, generator=generator, augment=augment)
    for step in zip(*own.values(), strict=True):
        drawn = dict(zip(own, step, strict=True))
        yield [drawn[seed] for seed in seeds]


def train_epoch(pack: Pack, images: ImageSet, batch_size: int, seeds: Sequence[int], augment: bool) -> list[tuple[float, float]]:
    """One pass over a split for each replica, as `fitting.train_epoch` does for one.

    Args:
        pack: what is trained.
        images: the training split.
        batch_size: images a step.
        seeds: of this epoch, one a replica.
        augment: whether the data set's standard augmentation is applied.

    Returns:
        Mean loss (not finite for a replica that diverged) and share of correct answers over the epoch's batches, of each.

    Raises:
        DeadlineExceeded: the time of one is up.
    """
    totals = torch.zeros(2, len(pack), device=images.labels.device)
    seen = 0
    for step in streams(images, batch_size, seeds, augment):
        losses, correct = pack.step(step)
        totals += torch.stack([losses, correct])
        seen += len(step[0][1])
    pack.settle()
    loss, correct = (totals / seen).tolist()
    return list(zip(loss, correct, strict=True))
