"""Measure how many architectures this machine trains per hour: with a plain PyTorch loop, then with each optimization of the engine.

    python -m tests.performance.engine [--quick] [--image-size 8] [--cells 1] [--batch-size 128] [--format markdown] [--figure FILE.svg]

All variants alternate within one run. The total is extrapolated to all of NAS-Bench-201, with an interval. On a GPU, the benchmark takes at
most about ten minutes.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from agd_bench.cli.printing import print_table
from agd_bench.errors import AgdBenchError
from agd_bench.trial import Workplace
from tests.performance.engine import QUICK, Benchmark, Effort, Size, as_json, as_markdown, heading, measure, parts_figure, summary, tables


def main() -> None:
    """Parse the arguments, measure, and print."""
    arguments = _parse()
    size = Size(arguments.image_size, arguments.channels, arguments.cells, arguments.batch_size)
    try:
        device = Workplace(Path(), device=arguments.device).torch_device()
        measured = measure(size, QUICK if arguments.quick else Effort(), device, lambda said: print(f"… {said}", file=sys.stderr))
    except AgdBenchError as error:
        sys.exit(str(error))
    _print(measured, arguments.format)
    if arguments.figure is not None:
        picture = parts_figure(measured)
        arguments.figure.write_bytes(picture.png() if arguments.figure.suffix == ".png" else picture.svg().encode())


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.performance.engine", description=__doc__.split("\n")[0])
    parser.add_argument("--image-size", type=int, default=32, help="height and width of the images, in pixels: 32, 16 or 8")
    parser.add_argument("--channels", type=int, default=16, help="channels of the first stage; 16 as published")
    parser.add_argument("--cells", type=int, default=5, help="cells in each of the three stages; 5 as published")
    parser.add_argument("--batch-size", type=int, default=256, help="images per step; 256 as published")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter windows: a first look, with wide intervals")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--format", choices=["table", "markdown", "json"], default="table")
    parser.add_argument("--figure", type=Path, metavar="FILE", help="also draw where a step's time goes: .png or .svg")
    arguments = parser.parse_args()
    if arguments.figure is not None and arguments.figure.suffix not in (".png", ".svg"):
        parser.error(f"--figure {arguments.figure}: only .png and .svg can be drawn")
    return arguments


def _print(measured: Benchmark, form: str) -> None:
    if form != "table":
        print(as_json(measured) if form == "json" else as_markdown(measured))
        return
    print(heading(measured))
    for sentence, table in tables(measured):
        print(f"\n{sentence}\n")
        print_table(table, False)
    print(f"\n{summary(measured)}")


if __name__ == "__main__":
    main()
