"""Commands about this machine: `doctor`, `benchmark`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from agd_bench.cli.options import DeviceOption, JsonOption
from agd_bench.cli.printing import print_table
from agd_bench.errors import InputError


def doctor(as_json: JsonOption = False) -> None:
    """Check devices, data sets, Ray and optional packages."""
    from agd_bench.datasets import data_root
    from agd_bench.doctor import examine

    findings = examine(data_root())
    if as_json:
        print(json.dumps([finding._asdict() for finding in findings], indent=2))
        return
    signs = {"ok": "ok     ", "missing": "–      ", "warning": "WARNING"}
    for finding in findings:
        advice = f"; {finding.advice}" if finding.advice else ""
        print(f"{signs[finding.verdict]}  {finding.what}: {finding.detail}{advice}")


def benchmark(
    image_size: Annotated[int, typer.Option("--image-size", min=8, help="Height and width of the images, in pixels: 32, 16 or 8.")] = 32,
    channels: Annotated[int, typer.Option("--channels", min=1, help="Channels of the first stage; 16 as published.")] = 16,
    cells: Annotated[int, typer.Option("--cells", min=1, help="Cells in each of the three stages; 5 as published.")] = 5,
    batch_size: Annotated[int, typer.Option("--batch-size", min=2, help="Images a step; 256 as published.")] = 256,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer and shorter windows: a first look, with wide intervals.")] = False,
    device: DeviceOption = "auto",
    form: Annotated[Literal["table", "markdown", "json"], typer.Option("--format", help="How to print it.")] = "table",
    figure: Annotated[
        Path | None, typer.Option("--figure", metavar="FILE", help="Also draw where a step's time goes: .png or .svg.")
    ] = None,
) -> None:
    """Measure how many architectures this machine trains per hour.

    Compares a plain PyTorch loop with each optimization of the engine, alternating within one run, and extrapolates to all
    of NAS-Bench-201 with an interval. Takes at most about ten minutes on a GPU.
    """
    from agd_bench import benchmarking
    from agd_bench.trial import Workplace

    if figure is not None and figure.suffix not in (".png", ".svg"):
        raise InputError(f"--figure {figure}: draws .png and .svg; give a name with one of these endings")
    size = benchmarking.Size(image_size, channels, cells, batch_size)
    effort = benchmarking.QUICK if quick else benchmarking.Effort()
    where = Workplace(Path(), device=device).torch_device()
    measured = benchmarking.measure(size, effort, where, lambda said: print(f"… {said}", file=sys.stderr))
    if form == "table":
        print(benchmarking.heading(measured))
        for sentence, table in benchmarking.tables(measured):
            print(f"\n{sentence}\n")
            print_table(table, False)
        print(f"\n{benchmarking.summary(measured)}")
    else:
        print(benchmarking.as_json(measured) if form == "json" else benchmarking.as_markdown(measured))
    if figure is not None:
        picture = benchmarking.parts_figure(measured)
        figure.write_bytes(picture.png() if figure.suffix == ".png" else picture.svg().encode())
