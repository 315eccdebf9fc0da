"""Present a benchmark's tables to people, in documents and to scripts."""

from __future__ import annotations

import dataclasses
import json

import pandas as pd

from agd_bench.figures import Picture
from tests.performance.engine.benchmark import Benchmark
from tests.performance.engine.step_parts import step_parts_picture


def heading(benchmark: Benchmark) -> str:
    """Describe the machine and what was measured."""
    machine, size, effort = benchmark.machine, benchmark.size, benchmark.effort
    return (
        f"{machine['device']}, {machine['cores']} cores, load before {machine['load_before']}; Python {machine['python']}, "
        f"torch {machine['torch']}, torchvision {machine['torchvision']}. NAS-Bench-201 with {size.channels} channels and {size.cells} "
        f"cells a stage, {size.image_size} px, batch {size.batch_size}; a training: {size.epochs} epochs of {size.train_images:,} images, "
        f"{size.val_images:,} evaluated after each, {size.test_images:,} in the end, from windows of {effort.window_seconds:g} s."
    )


def rungs_table(benchmark: Benchmark) -> pd.DataFrame:
    """Return the ladder's speeds and ratios, formatted."""
    rows = benchmark.ladder
    return pd.DataFrame(
        {
            "way": [name if on else f"({name})" for name, on in zip(rows["rung"], rows["on_ladder"], strict=True)],
            "images/s": [f"{value:,.0f}" for value in rows["images_per_second"]],
            "architectures/hour": [f"{value:.3g}" for value in rows["architectures_per_hour"]],
            "x plain": [f"{value:.2f}" for value in rows["ratio"]],
            "quartiles": [f"{low:.2f}–{high:.2f}" for low, high in zip(rows["ratio_low"], rows["ratio_high"], strict=True)],
            "x best": [f"{value:.2f}" for value in rows["best_ratio"]],
            "x CPU time": ["–" if value != value else f"{value:.2f}" for value in rows["cpu_ratio"]],
            "x before": [f"{value:.2f}" for value in rows["step_ratio"]],
            "evaluation": [f"{100 * value:.1f} %" for value in rows["evaluation_share"]],
            "checkpoint": [f"{100 * value:.2g} %" for value in rows["checkpoint_share"]],
            "CPU had": [f"{100 * value:.0f} %" for value in rows["cpu_share"]],
        }
    )


def floors_table(benchmark: Benchmark) -> pd.DataFrame:
    """Return the demands of a step on the device and their minimum time on every rung, formatted."""
    rows = benchmark.ladder
    return pd.DataFrame(
        {
            "way": [name if on else f"({name})" for name, on in zip(rows["rung"], rows["on_ladder"], strict=True)],
            "step ms": [f"{1e3 * value:.3g}" for value in rows["step_seconds"]],
            "calls": rows["calls"],
            "syncs": rows["waits"],
            "batch calls": rows["data_calls"],
            "MB": [f"{value:.3g}" for value in rows["megabytes"]],
            "launch ms": [f"{1e3 * value:.3g}" for value in rows["launch_seconds"]],
            "memory ms": [f"{1e3 * value:.3g}" for value in rows["memory_seconds"]],
        }
    )


def totals_table(benchmark: Benchmark) -> pd.DataFrame:
    """Return the totals over the whole search space, formatted."""
    rows = benchmark.totals
    shown: dict[str, list[str]] = {"way": list(rows["rung"])}
    kinds = [("device-hours", "device_hours", "low", "high"), ("CPU hours / cores", "cpu_hours", "cpu_low", "cpu_high")]
    for title, value, low, high in kinds[: 2 if benchmark.machine["device_type"] == "cpu" else 1]:
        texts = [f"{a:,.3g} ({b:,.3g}–{c:,.3g})" for a, b, c in zip(rows[value], rows[low], rows[high], strict=True)]
        shown |= {title: texts, f"x {title}": [f"{rows[value].iloc[0] / found:.2f}" for found in rows[value]]}
    return pd.DataFrame(shown)


def tables(benchmark: Benchmark) -> list[tuple[str, pd.DataFrame]]:
    """Return every table with its caption."""
    effort, count = benchmark.effort, len(benchmark.sample) // 2
    return [
        (
            f"One architecture after each step, {benchmark.architecture}: medians over {effort.rounds} alternating rounds. In brackets: "
            "beside the ladder. Best: of the best rounds. CPU time: of one process of one thread, which other programs disturb least. "
            "Evaluation, checkpoint: shares of a training's time, with a checkpoint a minute. CPU had: of the time that its threads could "
            "have had; far below 100 % in the last rows, other programs ran.",
            rungs_table(benchmark),
        ),
        (
            "What a step asks of the device. Calls reach torch's dispatcher (a kernel each on a GPU), syncs make the host wait, MB are "
            "read and written if no cache helps. Launch and memory: the least that so many calls and bytes take here.",
            floors_table(benchmark),
        ),
        (
            f"All {benchmark.totals['architectures'].iloc[0]:,} architectures that have a path, one algorithm, one seed: from {count} "
            f"architectures, {effort.each} from each of {effort.strata} strata by FLOPs.",
            totals_table(benchmark),
        ),
    ]


def summary(benchmark: Benchmark) -> str:
    """Return the result in a few sentences."""
    one, many = benchmark.beside_bare
    what = "in CPU time" if benchmark.disturbed else "in images a second"
    return f"{_in_all(benchmark)} Against a bare loop for one network, {what}: {one:.2f} times for one network, {many:.2f} times for many."


def _in_all(benchmark: Benchmark) -> str:
    best, totals = benchmark.ladder.iloc[-1], benchmark.totals
    if benchmark.disturbed:
        plain, ours = totals["cpu_hours"]
        return (
            f"Other programs had part of the machine (a process of one thread got {100 * best['cpu_share']:.0f} % of a core), so seconds "
            f"on the wall say little. By CPU time, one process of one thread each: {best['cpu_ratio']:.2f} times the plain way on one "
            f"architecture, {plain / ours:.2f} times on the whole search space: {ours:,.3g} hours on {benchmark.machine['cores']} cores "
            f"instead of at least {plain:,.3g}. What one training a core saves comes on top; measure it on a quiet machine."
        )
    plain, ours = totals["device_hours"]
    return (
        f"In all {best['ratio']:.2f} times the plain way on one architecture (quartiles {best['ratio_low']:.2f} to "
        f"{best['ratio_high']:.2f}; best rounds {best['best_ratio']:.2f}), {plain / ours:.2f} times on the whole "
        f"search space: {ours:,.3g} device-hours instead of {plain:,.3g}."
    )


def as_markdown(benchmark: Benchmark) -> str:
    """Return the whole result as Markdown."""
    blocks = [heading(benchmark)]
    for sentence, table in tables(benchmark):
        head = "| " + " | ".join(table.columns) + " |\n|" + "---|" * len(table.columns)
        blocks += [sentence, "\n".join([head, *("| " + " | ".join(map(str, row)) + " |" for row in table.itertuples(index=False))])]
    return "\n\n".join([*blocks, summary(benchmark)])


def as_json(benchmark: Benchmark) -> str:
    """Return all measurements as JSON, with tables as lists of rows."""
    content = {
        "machine": benchmark.machine,
        "size": dataclasses.asdict(benchmark.size),
        "effort": dataclasses.asdict(benchmark.effort),
        "architecture": benchmark.architecture,
        **{name: json.loads(getattr(benchmark, name).to_json(orient="records")) for name in ("ladder", "parts", "sample", "totals")},
    }
    return json.dumps(content, indent=2)


def parts_figure(benchmark: Benchmark) -> Picture:
    """Draw where the time of a step goes, on every rung."""
    unit = "CPU time of one thread" if benchmark.machine["device_type"] == "cpu" else "waiting for the device after each part"
    return step_parts_picture(benchmark.parts, unit, heading(benchmark))
