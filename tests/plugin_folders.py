"""Plug-ins for tests, written to a separate folder: search spaces and algorithms that misbehave on purpose."""

from __future__ import annotations

from pathlib import Path

SPACES = {
    "tiny": '''
"""Two small networks and one that cannot be trained.

References:
    The developers of agd-bench, tests of the project, 2026.
"""
from torch import nn

OPTIONS = {"width": 8}


def architectures():
    return ["small", "smaller", "dead"]


def sample(rng):
    return str(rng.choice(architectures()))


def defect(architecture):
    return "no path" if architecture == "dead" else ""


def build(architecture, in_channels, num_classes, width=8):
    if architecture not in architectures():
        raise ValueError(f"{architecture!r} is none of {architectures()}")
    width = width if architecture == "small" else width // 2
    return nn.Sequential(
        nn.Conv2d(in_channels, width, 3, stride=2), nn.BatchNorm2d(width), nn.ReLU(), nn.Dropout(0.1),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * width, num_classes),
    )
''',
}

PLAIN_ALGORITHM = '''
"""{summary} Source: these tests."""
import os
import torch

RANGES = {ranges}
TIER = "self-tuning"
SOURCE = "these tests"
LICENCE = "MIT"


def prepare(network, generator):
    return network


def build(network, steps, learning_rate={rate}):
    return torch.optim.SGD(network.parameters(), lr=learning_rate)


def loss(logits, labels):
    {before_loss}
    return torch.nn.functional.cross_entropy(logits, labels)
'''

ALGORITHMS = {
    "plain": {},
    "exploding": {"before_loss": "logits = logits * 1e38 * 1e38"},
    "raising": {"before_loss": "raise RuntimeError('planned trouble')"},
    "starving": {"before_loss": "raise torch.OutOfMemoryError('planned: CUDA out of memory')"},
    "searched": {"ranges": '{"learning_rate": {"low": 1e-3, "high": 1.0, "log": True}}'},
}


def write_plugins(folder: Path) -> dict[str, tuple[Path, ...]]:
    """Write all plug-ins under `folder` and return the `folders` argument of a plan or a workplace."""
    spaces, algorithms = folder / "spaces", folder / "algorithms"
    spaces.mkdir(parents=True)
    algorithms.mkdir()
    for name, text in SPACES.items():
        (spaces / f"{name}.py").write_text(text)
    for name, changes in ALGORITHMS.items():
        values = {"summary": name, "ranges": "{}", "rate": "0.1", "before_loss": "pass", **changes}
        text = PLAIN_ALGORITHM
        for key, value in values.items():
            text = text.replace("{" + key + "}", value)
        (algorithms / f"{name}.py").write_text(text)
    return {"search_spaces": (spaces,), "algorithms": (algorithms,)}
