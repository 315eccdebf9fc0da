"""Residual networks with varying skips, normalisation and activation, and interchangeable weights.

An architecture is five words, `SKIP/BRANCH/NORM/PLACE/ACTIVATION`. There are 312; `projection/plain/batch/pre/relu` is PreAct-ResNet-18
with its 11,171,146 parameters (10 classes):

    SKIP        none; identity: only blocks that keep the shape have a skip; projection: the others have a 1 x 1 convolution as skip;
                fixed-A: projection plus A times a fixed linear path, with A = 0.25, 0.5, 1 or 2;
                matched-1: projection, with initial kernels scaled to the mean singular value of fixed-1
    BRANCH      plain; delta: 3 x 3 convolutions that keep the shape learn the difference from the identity
    NORM        batch; layer; group: groups of a quarter of the width; weight: every kernel divided by its norm; none
    PLACE       pre: normalisation and activation before each convolution; post: after it, the second one after the sum
    ACTIVATION  relu, gelu

The fixed path halves the image by 2 x 2 averages, doubled so that its singular values are 1, and pads channels with zeros on both sides. It
has no parameters: with the same norm and place, `projection` and all `fixed-A` have the same parameters for any branch and activation, and
get equal weights from equal torch seeds, so trials are pairs. `fixed-1` is the paper's change; dose 0 is `projection`. `matched-1` is a
control with the same singular values but without the path: its kernels are those of `projection` times a factor of about 2 at width 64.
Algorithms with their own initialisation, and the norm `weight`, remove this factor, so these have no `matched-1` training of their own.
Odd sizes are rounded up; averages in the last row and column use the existing pixels.

References:
    L. E. MacDonald, J. Valmadre, H. Saratchandran and S. Lucey, "On Skip Connections and Normalisation Layers in Deep
    Optimisation", NeurIPS 2023, section 4 (projection and fixed-1; the other skips, branches and norms are ours).
    K. He, X. Zhang, S. Ren and J. Sun, "Identity Mappings in Deep Residual Networks", ECCV 2016.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

VARIES = "skips, normalisation, its place and the activation, with equal weights"
SIZE = 312
PAPER = "MacDonald et al. 2023 (NeurIPS)"
IDENTITY = "parameters and logits of PreAct-ResNet-18; singular values of the fixed path"
OPTIONS = {"width": 64, "blocks": 2}
SMALL = {"width": 16, "blocks": 1}
SKIPS = ("none", "identity", "projection", "fixed-0.25", "fixed-0.5", "fixed-1", "fixed-2", "matched-1")
BRANCHES = ("plain", "delta")
NORMS = ("batch", "layer", "group", "weight", "none")
PLACES = ("pre", "post")
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"relu": nn.ReLU, "gelu": nn.GELU}
WORDS = (SKIPS, BRANCHES, NORMS, PLACES, tuple(ACTIVATIONS))
STAGES = 4


def words_of(architecture: str) -> tuple[str, ...]:
    """Return the five words of an architecture."""
    words = tuple(architecture.split("/"))
    if len(words) != len(WORDS) or any(word not in allowed for word, allowed in zip(words, WORDS, strict=True)):
        allowed = "/".join(f"({'|'.join(words)})" for words in WORDS)
        raise ValueError(f"{architecture!r} is no architecture of this space; write {allowed}")
    return words


def defect(architecture: str) -> str:
    """Return why an architecture cannot be trained as specified, or an empty string."""
    skip, _, norm, _, _ = words_of(architecture)
    if skip == "matched-1" and norm == "weight":
        return "weight normalisation divides out the size of the kernels, which is all that matched-1 changes; use projection"
    return ""


def architectures() -> Iterator[str]:
    """Yield all 312 architectures without a defect; the activation changes fastest."""
    return (name for words in itertools.product(*WORDS) if not defect(name := "/".join(words)))


def sample(rng: np.random.Generator) -> str:
    """Return a uniformly random architecture."""
    listed = list(architectures())
    return listed[rng.integers(len(listed))]


def dose_of(skip: str) -> float:
    """Return the factor A of the fixed path in a skip."""
    return float(skip.removeprefix("fixed-")) if skip.startswith("fixed-") else 0.0


def features(architecture: str) -> dict[str, float]:
    """Return possible drivers of rank shifts: the words, and the dose of the fixed path, 0 without it."""
    return {"dose": dose_of(words_of(architecture)[0])}


def graph(architecture: str, width: int = 64, blocks: int = 2) -> tuple[tuple[int, int, int, int, str], ...]:
    """Return the network's edges: (from node, to node, weighted layers, kernel size, module with the weight).

    Node 0 is the image; the last edge leads to the logits. Options are those of `build`.
    """
    skip, branch, _, place, _ = words_of(architecture)
    edges, node, child = [(0, 1, 1, 3, "0")], 1, 1 if place == "pre" else 3
    for block in range(STAGES * blocks):
        keeps_shape = block % blocks > 0 or block == 0
        if keeps_shape and skip != "none":
            edges.append((node, node + 2, 0, 1, ""))
        if not keeps_shape and skip not in ("none", "identity"):
            edges.append((node, node + 2, 1, 1, f"{child}.shortcut.projection"))
            edges += [(node, node + 2, 0, 1, "")] if dose_of(skip) else []
        for number in range(2):
            edges += [(node + number, node + number + 1, 0, 1, "")] if branch == "delta" and (number or keeps_shape) else []
            edges.append((node + number, node + number + 1, 1, 3, f"{child}.conv{number + 1}"))
        node, child = node + 2, child + 1
    return (*edges, (node, node + 1, 1, 1, str(child + 2)))


class FixedPath(nn.Module):
    """Halves the image by doubled averages (stride 2), and pads channels with zeros. All singular values are 1 or 0."""

    def __init__(self, in_channels: int, channels: int, stride: int, dose: float) -> None:
        super().__init__()
        self.stride, self.dose = stride, dose
        self.behind, odd = divmod(channels - in_channels, 2)
        self.before = self.behind + odd

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, channels, H / stride, W / stride)."""
        means = nn.functional.avg_pool2d(images, self.stride, ceil_mode=True)
        return nn.functional.pad(self.dose * self.stride * means, (0, 0, 0, 0, self.before, self.behind))


class Convolution(nn.Conv2d):
    """Convolution without bias, optionally with kernels divided by their norms, and with its input added."""

    def __init__(self, in_channels: int, channels: int, size: int, stride: int, norm: str, branch: str) -> None:
        super().__init__(in_channels, channels, size, stride, padding=size // 2, bias=False)
        self.normalised = norm == "weight"
        self.adds_input = branch == "delta" and stride == 1 and in_channels == channels

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, channels, H / stride, W / stride)."""
        kernels = self.weight
        if self.normalised:
            # norm sqrt(2) preserves the scale of activations through ReLU, like He initialisation
            kernels = 2**0.5 * kernels / torch.linalg.vector_norm(kernels, dim=(1, 2, 3), keepdim=True)
        result = nn.functional.conv2d(images, kernels, None, self.stride, self.padding)
        return images + result if self.adds_input else result


def _normalisation(norm: str, channels: int, groups: int) -> nn.Module:
    if norm == "batch":
        return nn.BatchNorm2d(channels)
    if norm in ("layer", "group"):
        return nn.GroupNorm(1 if norm == "layer" else groups, channels)
    return nn.Identity()


class Shortcut(nn.Module):
    """Shortcut of a block that changes the shape: a 1 x 1 convolution, plus the fixed path if its dose is above 0."""

    def __init__(self, in_channels: int, channels: int, stride: int, norm: str = "batch", dose: float = 0.0) -> None:
        super().__init__()
        self.projection = Convolution(in_channels, channels, 1, stride, norm, "plain")
        self.fixed = FixedPath(in_channels, channels, stride, dose) if dose else None

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, channels, H / stride, W / stride)."""
        projected: Tensor = self.projection(images)
        return projected if self.fixed is None else projected + self.fixed(images)


def matching_factor(shortcut: Shortcut, dose: float = 1.0) -> Tensor:
    """Return the factor by which a projection's kernels get the mean singular value of projection plus fixed path.

    On a cell of 2 x 2 pixels, the convolution reads one pixel, a unit vector e, and the fixed path the mean, a unit vector u with
    (e, u) = 1/2. In a basis of their plane, the sum is the matrix (W + A P / 2, sqrt(3/4) A P), where P embeds the channels.

    Args:
        shortcut: of stride 2, on images of even height and width.
        dose: A.
    """
    kernel = shortcut.projection.weight.detach()[:, :, 0, 0]
    channels, in_channels = kernel.shape
    before = (channels - in_channels + 1) // 2
    moved = nn.functional.pad(torch.eye(in_channels, device=kernel.device), (0, 0, before, channels - in_channels - before))
    both = torch.cat([kernel + dose / 2 * moved, 0.75**0.5 * dose * moved], dim=1)
    factor: Tensor = torch.linalg.svdvals(both).sum() / torch.linalg.svdvals(kernel).sum()
    return factor


class Block(nn.Module):
    """Two 3 x 3 convolutions with a skip."""

    def __init__(self, words: tuple[str, ...], in_channels: int, channels: int, stride: int, groups: int) -> None:
        super().__init__()
        skip, branch, norm, place, activation = words
        self.pre, self.keeps_shape, self.skips = place == "pre", stride == 1 and in_channels == channels, skip != "none"
        self.activation = ACTIVATIONS[activation]()
        self.norm1 = _normalisation(norm, in_channels if self.pre else channels, groups)
        self.conv1 = Convolution(in_channels, channels, 3, stride, norm, branch)
        self.norm2 = _normalisation(norm, channels, groups)
        self.conv2 = Convolution(channels, channels, 3, 1, norm, branch)
        self.shortcut: Shortcut | None = None
        if not self.keeps_shape and skip not in ("none", "identity"):
            self.shortcut = Shortcut(in_channels, channels, stride, norm, dose_of(skip))
            if skip == "matched-1" and stride == 2:
                with torch.no_grad():
                    self.shortcut.projection.weight *= matching_factor(self.shortcut)

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, channels, H / stride, W / stride)."""
        source = self.activation(self.norm1(images)) if self.pre else images
        if self.pre:
            output: Tensor = self.conv2(self.activation(self.norm2(self.conv1(source))))
        else:
            output = self.norm2(self.conv2(self.activation(self.norm1(self.conv1(source)))))
        if self.shortcut is not None:
            output = output + self.shortcut(source)
        elif self.keeps_shape and self.skips:
            output = output + images
        return output if self.pre else self.activation(output)


def build(architecture: str, in_channels: int, num_classes: int, width: int = 64, blocks: int = 2) -> nn.Module:
    """Return the network of an architecture.

    Args:
        architecture: its string.
        in_channels: of the images.
        num_classes: size of the logits.
        width: channels of the first of four stages, a multiple of 4; each further stage doubles them and halves the image.
        blocks: number of blocks per stage, at least 1.

    Returns:
        A network that maps images (N, in_channels, H, W) to logits (N, num_classes).
    """
    words = words_of(architecture)
    for option, value, least in (("width", width, 4), ("blocks", blocks, 1)):
        if not isinstance(value, int) or isinstance(value, bool) or value < least or value % least:
            raise ValueError(f"{option} {value!r} is out of range; give a whole number from {least}, a multiple of {least}")
    norm, place, activation = words[2:]
    layers: list[nn.Module] = [Convolution(in_channels, width, 3, 1, norm, "plain")]
    if place == "post":
        layers += [_normalisation(norm, width, 4), ACTIVATIONS[activation]()]
    channels = width
    for stage in range(STAGES):
        for number in range(blocks):
            layers.append(Block(words, channels, width << stage, 2 if stage and not number else 1, groups=4))
            channels = width << stage
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, num_classes))
