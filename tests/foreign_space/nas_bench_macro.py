"""NAS-Bench-Macro: a mobile network with eight layers, each an identity or one of two inverted bottlenecks; 6,561 architectures.

An architecture is its published code: a digit for each layer, 0 the identity, 1 a bottleneck of expansion 3 and kernel 3, 2 one of
expansion 6 and kernel 5. Written from its description alone: stages of 2, 3 and 3 layers halve the image at their first one and have C,
2C and 4C channels; an identity there is an average pooling and a 1 x 1 convolution, elsewhere it may as well end its stage.
(X. Su et al., "Prioritized Architecture Sampling with Monto-Carlo Tree Search", CVPR 2021.)
"""

import itertools

from torch import nn

VARIES = "the operation of each of eight layers in three stages"
SIZE = 6561
NETWORKS = 3969
PAPER = "Su et al. 2021 (CVPR)"
OPTIONS = {"channels": 64}
STAGES = (slice(0, 2), slice(2, 5), slice(5, 8))
BOTTLENECKS = {"1": (3, 3), "2": (6, 5)}  # expansion and kernel


def architectures():
    return map("".join, itertools.product("012", repeat=8))


def sample(rng):
    return "".join(map(str, rng.integers(3, size=8)))


def canonical(architecture):
    return "".join(code[0] + code[1:].replace("0", "").ljust(len(code) - 1, "0") for code in (architecture[stage] for stage in STAGES))


def build(architecture, in_channels, num_classes, channels=64):
    if len(architecture) != 8 or not set(architecture) <= set("012"):
        raise ValueError(f"{architecture!r} is no architecture of NAS-Bench-Macro; write eight digits of 0, 1 and 2: 01201201")
    layers, inputs = [*_convolution(in_channels, 32, 3), nn.ReLU6()], 32
    for number, stage in enumerate(STAGES):
        for place, digit in enumerate(architecture[stage]):
            if digit in BOTTLENECKS:
                layers.append(Bottleneck(inputs, channels << number, *BOTTLENECKS[digit], stride=1 if place else 2))
            elif not place:
                layers += [nn.AvgPool2d(2, ceil_mode=True), *_convolution(inputs, channels << number, 1)]
            inputs = channels << number
    head = [*_convolution(inputs, 5 * inputs, 1), nn.ReLU6(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5 * inputs, num_classes)]
    return nn.Sequential(*layers, *head)


def _convolution(inputs, outputs, size, stride=1, groups=1):
    return [nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False), nn.BatchNorm2d(outputs)]


class Bottleneck(nn.Sequential):
    def __init__(self, inputs, outputs, expansion, size, stride):
        wide, self.skips = expansion * inputs, stride == 1 and inputs == outputs
        parts = [_convolution(inputs, wide, 1), _convolution(wide, wide, size, stride, groups=wide), _convolution(wide, outputs, 1)]
        super().__init__(*parts[0], nn.ReLU6(), *parts[1], nn.ReLU6(), *parts[2])

    def forward(self, images):
        return images + super().forward(images) if self.skips else super().forward(images)
