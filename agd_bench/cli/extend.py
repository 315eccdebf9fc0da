"""Commands that extend agd-bench: `new`, `check`, `convert`, `draw`."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from agd_bench.cli.options import JsonOption, SpacesOption
from agd_bench.errors import InputError

if TYPE_CHECKING:
    from agd_bench.plugins import Kind


def new(
    kind: Annotated[
        Literal["search-space", "algorithm", "dataset", "searcher", "sweep"],
        typer.Argument(metavar="KIND", help="search-space, algorithm, dataset, searcher or sweep."),
    ],
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name: lower-case letters, digits and _.")],
    to: Annotated[
        Path | None, typer.Option("--to", metavar="DIR", help="Output folder. Default: my_search_spaces etc.; for a sweep, this folder.")
    ] = None,
) -> None:
    """Create a plug-in or a sweep from a template.

    A plug-in comes with its test and, unless it is a search method, a sweep that uses it. It needs no class and no import from agd_bench.
    """
    from agd_bench.scaffolding import scaffold, scaffold_sweep

    if kind == "sweep":
        sweep = scaffold_sweep(name, to or Path())
        print(f"Wrote {sweep}. Edit it, then:\n")
        commands = [f"agd-bench plan {sweep}", f"agd-bench run {sweep}"]
    else:
        kinds: dict[str, Kind] = {
            "search-space": "search_spaces", "algorithm": "algorithms", "dataset": "datasets", "searcher": "searchers"
        }  # fmt: skip
        plugin, test, *sweeps = scaffold(kinds[kind], name, to or Path(f"my_{kinds[kind]}"))
        print(f"Wrote {', '.join(map(str, [plugin, *sweeps]))} and {test}. Edit the first, then:\n")
        commands = [f"agd-bench check {plugin}", f"pytest {test}"]
        commands += [] if sweeps else [f"agd-bench search BOARD --searchers {plugin.parent}"]
        commands += [f"agd-bench {command} {sweep}" for sweep in sweeps for command in ("plan", "run")]
    for command in commands:
        print(f"    {command}")


def convert(
    search_space: Annotated[str, typer.Argument(metavar="SPACE", help="darts, nas_bench_101 or nas_bench_201.")],
    architecture: Annotated[str, typer.Argument(metavar="ARCHITECTURE", help="An architecture in any form, in quotes.")],
    to: Annotated[str | None, typer.Option("--to", metavar="FORM", help="genotype, spec or naslib. Default: our string.")] = None,
) -> None:
    """Convert an architecture between the forms of NAS projects.

    Reads and writes DARTS genotypes, NAS-Bench-101 matrices with operations, NAS-Bench-201 genotypes and NASLib's compact
    tuples. The conversion is exact in both directions.
    """
    from agd_bench.architecture_forms import convert as convert_architecture

    print(convert_architecture(search_space, architecture, to))


def draw(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A search space.")],
    to: Annotated[Path | None, typer.Option("--to", metavar="FILE", help="An .svg or .png file. Default: NAME.svg.")] = None,
    search_spaces: SpacesOption = None,
) -> None:
    """Draw a few architectures of a search space.

    Uses the architecture strings, their graphs or their layers, whichever the space provides.
    """
    from agd_bench.sketches import sketch
    from agd_bench.store import written_beside

    file = to or Path(f"{name}.svg")
    if file.suffix not in (".svg", ".png"):
        raise InputError(f"{file}: pictures are .svg or .png; give a file that ends so")
    picture = sketch(name, tuple(search_spaces or ()))
    with written_beside(file.parent) as beside:
        (beside / file.name).write_bytes(picture.svg().encode() if file.suffix == ".svg" else picture.png(110))
    print(f"{file}: {picture.caption}")


def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A search space, a training algorithm, a data set or a search method.")],
    as_json: JsonOption = False,
) -> None:
    """Run the conformance tests on a plug-in.

    Prints each check with its reason, and how to fix what fails. A note marks what works but has a consequence, such as built-in
    algorithms that refuse the networks. Exits with 1 if a check fails.
    """
    if not file.is_file():
        raise InputError(f"{file}: no such file; give the plug-in's Python file, for example search_spaces/plain_chain.py")
    # Imported late, because it imports torch.
    from agd_bench.testing import check_file

    checks = check_file(file)
    if as_json:
        shown = [
            {"check": c.name, "passed": c.passed, "message": c.message, "explanation": c.explanation, "noted": c.noted} for c in checks
        ]
        print(json.dumps(shown, indent=2))
    else:
        for c in checks:
            print(f"{'FAIL' if not c.passed else 'note' if c.noted else 'ok  '}  {c.name}{': ' + c.message if c.message else ''}")
            print(textwrap.indent(textwrap.fill(c.explanation, 110, break_on_hyphens=False), " " * 6))
    if not all(c.passed for c in checks):
        raise typer.Exit(1)
