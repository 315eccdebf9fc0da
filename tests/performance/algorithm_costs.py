"""Tabulate every training algorithm: its facts, its optimizer's state, and the cost of a step relative to torch's fused SGD.

    python -m tests.performance.algorithm_costs [--rounds 15] [--write] [--only NAME …]

Each algorithm trains two networks through the harness's own step, in alternating rounds with SGD (Nesterov momentum, weight decay, fused),
in CPU time of one thread. `--write` writes the table to agd_bench/algorithms/README.md; with `--only`, the other rows stay if they were
measured under the same conditions. State is the size of the optimizer's `state_dict` after the steps, including tensors in parameter
groups, divided by the bytes of the weights; temporary memory of a step does not count.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from agd_bench import plugins
from agd_bench.errors import Refused
from agd_bench.records import Trial
from agd_bench.training.fit import Fit
from agd_bench.trial import Workplace, make_fit
from agd_bench.trial.provenance import surroundings

PAGE = Path(__file__).parents[2] / "agd_bench" / "algorithms" / "README.md"
CELL = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_1x1~1|+|skip_connect~0|nor_conv_3x3~1|avg_pool_3x3~2|"
NETWORKS: dict[str, tuple[str, str, dict[str, int]]] = {
    "convolutions": ("nas_bench_201", CELL, {"channels": 16, "cells": 5}),
    "fully connected": ("fcn", "4x256", {"size": 8}),
}
"""Search space, architecture and options of each network, by name."""
BASELINE = "nas_bench_201_sgd"
BATCH_SIZE = 64
STEPS = {"convolutions": 2, "fully connected": 20}
"""Steps per round, which take about 50 ms."""


@dataclass(frozen=True)
class Measured:
    """Measurements of an algorithm on a network.

    Attributes:
        state: bytes of the optimizer's state, divided by those of the weights.
        step: CPU time of `optimizer.step`, divided by that of fused SGD: lower quartile, median, upper quartile.
        whole: the same for a whole training step, including forward, backward and hooks.
        rounds: number of rounds behind the quartiles.
    """

    state: float
    step: tuple[float, float, float]
    whole: tuple[float, float, float]
    rounds: int


class Stopwatch:
    """Measures the CPU time of a fit's optimizer steps, and of its whole training steps."""

    def __init__(self, fit: Fit, steps: int) -> None:
        self.fit, self.steps, self.own, self._begun = fit, steps, 0.0, 0.0
        fit.optimizer.register_step_pre_hook(lambda *given: self._begin())
        fit.optimizer.register_step_post_hook(lambda *given: self._end())

    def _begin(self) -> None:
        self._begun = time.process_time()

    def _end(self) -> None:
        self.own += time.process_time() - self._begun

    def run(self, images: Tensor, labels: Tensor) -> tuple[float, float]:
        """Return the CPU seconds of a round's steps: of the optimizer alone, and of the whole steps."""
        self.own = 0.0
        begun = time.process_time()
        for _ in range(self.steps):
            self.fit.step(images, labels)
        whole = time.process_time() - begun
        assert self.own, "the optimizer does not call its step's hooks, so its time is not known"
        return self.own, whole


def fit_of(algorithm: str, network: str) -> Fit:
    """Return the fit of a trial on `digits`. Searched hyperparameters are at the low end of their ranges, which costs the same."""
    space, architecture, options = NETWORKS[network]
    ranges: Mapping[str, Any] = plugins.load("algorithms", algorithm).RANGES
    values = {name: given["choices"][0] if "choices" in given else given["low"] for name, given in ranges.items()}
    trial = Trial.model_validate(
        {
            "search_space": space,
            "search_space_label": space,
            "search_space_options": options,
            "architecture": architecture,
            "dataset": "digits",
            "algorithm": algorithm,
            "algorithm_label": algorithm,
            "hyperparameters": values,
            "epochs": 1,
            "batch_size": BATCH_SIZE,
            "seed": 0,
        }
    )
    with torch.random.fork_rng():
        return make_fit(trial, Workplace(Path(), device="cpu"), 10_000, torch.device("cpu"))


def tensors(value: object) -> Iterator[Tensor]:
    """Yield every tensor in nested dictionaries and sequences."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from tensors(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from tensors(part)


def measure(algorithm: str, network: str, rounds: int) -> Measured | str:
    """Return the measurements, or the reason why the algorithm refuses the network."""
    try:
        ours, sgd = (Stopwatch(fit_of(name, network), STEPS[network]) for name in (algorithm, BASELINE))
    except Refused as refusal:
        return str(refusal)
    generator = torch.Generator().manual_seed(0)
    images, labels = torch.randn(BATCH_SIZE, 1, 8, 8, generator=generator), torch.arange(BATCH_SIZE) % 10
    for one in (ours, sgd):
        one.run(images, labels)
    pairs = []
    for number in range(rounds):
        order = (ours, sgd) if number % 2 else (sgd, ours)
        taken = {id(one): one.run(images, labels) for one in order}
        pairs.append((taken[id(ours)], taken[id(sgd)]))
    weights = sum(p.numel() * p.element_size() for p in ours.fit.network.parameters())
    kept = {tensor.data_ptr(): tensor.numel() * tensor.element_size() for tensor in tensors(ours.fit.optimizer.state_dict())}
    step, whole = (quartiles([mine[part] / theirs[part] for mine, theirs in pairs]) for part in (0, 1))
    return Measured(sum(kept.values()) / weights, step, whole, rounds)


def quartiles(values: list[float]) -> tuple[float, float, float]:
    """Return lower quartile, median and upper quartile."""
    low, middle, high = statistics.quantiles(values, n=4)
    return low, middle, high


def row(name: str, measured: Mapping[str, Measured | str]) -> str:
    """Return a row of the Markdown table."""
    facts = plugins.describe(plugins.find("algorithms")[name])
    ready = [one for one in measured.values() if isinstance(one, Measured)]
    state = f"{max(one.state for one in ready):.2f}" if ready else "–"
    cells = [name, facts.get("TIER", ""), state]
    for one in measured.values():
        if isinstance(one, Measured):
            low, middle, high = one.step
            cells += [f"{middle:.2f} ({low:.2f}–{high:.2f})", f"{one.whole[1]:.2f}"]
        else:
            cells += ["refused", "refused"]
    return f"| {' | '.join(str(cell) for cell in [*cells, facts.get('LICENCE', ''), facts.get('PAPER', '')])} |"


def conditions(rounds: int) -> str:
    """Describe the machine and the number of rounds."""
    machine = surroundings(torch.device("cpu"))
    return (
        f"{machine['device']}, one thread, shared with other programs; Python {machine['python']}, torch {machine['torch']};\n"
        f"n = {rounds} alternating rounds of {' or '.join(map(str, STEPS.values()))} steps, batch {BATCH_SIZE}, float32, channels-last."
    )


def kept(rounds: int) -> dict[str, str]:
    """Return the page's rows by algorithm if they were measured under the same conditions, else none."""
    text = PAGE.read_text(encoding="utf-8") if PAGE.is_file() else ""
    table = text.partition("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ") and not line.startswith("| algorithm |")]
    return {line.split(" ", 2)[1]: line for line in rows} if conditions(rounds) in text else {}


def page(lines: list[str], rounds: int) -> str:
    """Return the page: the meaning of the columns, the conditions of measurement, and the table."""
    heads = [f"{kind}: {what}" for kind in NETWORKS for what in ("optimizer's step", "whole step")]
    header = ["algorithm", "tier", "state", *heads, "licence", "paper"]
    return f"""# Training algorithms

Each algorithm is one module; `__init__.py` documents what a module defines. `agd-bench list algorithms` shows what each does and whether
its package is installed.
This page is written by `python -m tests.performance.algorithm_costs --write`.

- **tier**: self-tuning: nothing is set per workload; learning-rate-free: no learning rate, but weight decay, betas or a schedule are
  frozen; externally tuned: a search is part of the algorithm, and its cost is charged.
- **state**: bytes that the optimizer keeps between steps, as a multiple of the bytes of the weights (momentum alone: 1); the larger value
  of the two networks.
- **optimizer's step**: CPU time of a step of the optimizer divided by that of torch's fused SGD with momentum on the same network and
  batch: median (and quartiles) of the ratios. **whole step**: the same including forward, backward and the optimizer's hooks.
  Images are 8 × 8, so the optimizer's share is larger than in most trainings. The trials of a search are not included.
- Convolutions: a NAS-Bench-201 network of 5 cells per stage (`{CELL}`); fully connected: 4 layers of 256
  units; both matrix-only. `refused`: the algorithm by definition does not train such networks.

{conditions(rounds)}

| {" | ".join(header)} |
|{"---|" * len(header)}
{chr(10).join(lines)}

## Packages and their licences

Third-party methods come from packages maintained by their authors or by others (extra `competitors`). The licence text in each installed
package was read; a test compares it with this table. Code that excludes commercial use is not used: AGD's released code (CC BY-NC-SA 4.0),
so AGD is reimplemented here from the paper, and `pytorch-optimizer`, because some of its optimizers have such a licence.

| package | licence | of | algorithms |
|---|---|---|---|
| dadaptation | MIT | Meta Platforms | dadapt_adam, dadapt_sgd |
| dog-optimizer | MIT | Foundations of Robust Machine Learning Lab | dog, ldog |
| heavyball | BSD-2-Clause | Lucas Nestler | soap |
| mechanic-pytorch | Apache-2.0 | its authors | mechanic |
| opt_einsum | MIT | Daniel Smith | comes with heavyball |
| prodigyopt | MIT | Konstantin Mishchenko | prodigy |
| schedulefree | Apache-2.0 | its authors | schedule_free_adamw, schedule_free_sgd |
"""


def main() -> None:
    """Measure and print, and write the page with `--write`."""
    parser = argparse.ArgumentParser(description="State and step cost of every training algorithm")
    parser.add_argument("--rounds", type=int, default=15, help="alternating rounds an algorithm and network, at least 3")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name} beside the algorithms")
    parser.add_argument("--only", nargs="*", help="measure these alone, and keep the page's other rows")
    given = parser.parse_args()
    torch.set_num_threads(1)
    names = [name for name, source in sorted(plugins.find("algorithms").items()) if not plugins.missing_packages(source)]
    rows = kept(given.rounds)
    for name in given.only or names:
        rows[name] = row(name, {network: measure(name, network, given.rounds) for network in NETWORKS})
        print(rows[name], flush=True)
    if given.write:
        PAGE.write_text(page([rows[name] for name in sorted(rows) if name in names], given.rounds), encoding="utf-8")
        print(f"written: {PAGE.name}")


if __name__ == "__main__":
    main()
