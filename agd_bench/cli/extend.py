"""Commands about plug-ins: `list`, `new`, `draw`, `check`."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from agd_bench.cli.options import AlgorithmsOption, DatasetsOption, JsonOption, SpacesOption, plugin_folders
from agd_bench.cli.printing import print_markdown, print_table
from agd_bench.errors import InputError

if TYPE_CHECKING:
    from agd_bench.plugins import Kind


def list_(
    what: Annotated[Literal["search-spaces", "algorithms", "datasets", "sweeps"], typer.Argument(help="What to list.")],
    search_spaces: SpacesOption = None,
    algorithms: AlgorithmsOption = None,
    datasets: DatasetsOption = None,
    as_json: JsonOption = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print the table as Markdown, for pages.")] = False,
) -> None:
    """List what there is, with a line on each."""
    import pandas as pd

    from agd_bench import plugins
    from agd_bench.sweeps import builtin_sweeps, open_sweep

    if what == "sweeps":
        print_table(pd.DataFrame([{"name": name, "summary": open_sweep(name).description} for name in builtin_sweeps()]), as_json)
        return
    kinds: dict[str, plugins.Kind] = {"search-spaces": "search_spaces", "algorithms": "algorithms", "datasets": "datasets"}
    spaces = ["VARIES", "SIZE", "NETWORKS", "PAPER", "IDENTITY"]
    columns = {"search-spaces": spaces, "algorithms": ["TIER", "LICENCE", "PAPER"], "datasets": ["NUM_CLASSES", "IMAGE_SIZE", "LICENCE"]}[
        what
    ]
    folders = plugin_folders(search_spaces, algorithms, datasets)[kinds[what]]
    rows = []
    for name, source in plugins.find(kinds[what], folders).items():
        facts = plugins.describe(source)
        row: dict[str, object] = {"name": name, "summary": facts["summary"]}
        row |= {column.lower(): facts.get(column) for column in columns}
        lacking = plugins.lacks(source)
        row |= {"ready": f"no: {lacking}" if lacking else "yes"} if what == "algorithms" else {}
        rows.append(row | {"from": source.origin})
    table = pd.DataFrame(rows, dtype=object if what == "search-spaces" else None)  # counts beyond the integers of a float
    if what == "search-spaces":
        table["varies"] = table["varies"].fillna(table.pop("summary"))
    if as_markdown:
        print_markdown(table)
    else:
        print_table(table, as_json)


def new(
    kind: Annotated[
        Literal["search-space", "algorithm", "dataset"], typer.Argument(metavar="KIND", help="search-space, algorithm or dataset.")
    ],
    name: Annotated[str, typer.Argument(metavar="NAME", help="The plug-in's name: small letters, digits and _.")],
    to: Annotated[
        Path | None, typer.Option("--to", metavar="DIR", help="Its folder. Default: my_search_spaces, my_algorithms, my_datasets.")
    ] = None,
) -> None:
    """Write a working plug-in with its test and a sweep that uses it, to begin with; needs no class and no import from agd_bench."""
    from agd_bench.scaffolding import scaffold

    kinds: dict[str, Kind] = {"search-space": "search_spaces", "algorithm": "algorithms", "dataset": "datasets"}
    plugin, test, sweep = scaffold(kinds[kind], name, to or Path(f"my_{kinds[kind]}"))
    print(f"Wrote {plugin}, {test} and {sweep}. Edit the first, then:\n")
    for command in (f"agd-bench check {plugin}", f"pytest {test}", f"agd-bench plan {sweep}", f"agd-bench run {sweep}"):
        print(f"    {command}")


def draw(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A search space.")],
    to: Annotated[Path | None, typer.Option("--to", metavar="FILE", help="An .svg or .png file. Default: NAME.svg.")] = None,
    search_spaces: SpacesOption = None,
) -> None:
    """Draw what a search space varies: a few of its architectures, from their strings, their graphs or their layers."""
    from agd_bench.drawing import sketch

    file = to or Path(f"{name}.svg")
    if file.suffix not in (".svg", ".png"):
        raise InputError(f"{file}: pictures are .svg or .png; give a file that ends so")
    picture = sketch(name, tuple(search_spaces or ()))
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(picture.svg().encode() if file.suffix == ".svg" else picture.png(110))
    print(f"{file}: {picture.caption}")


def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A plug-in: a search space, a training algorithm or a data set.")],
    as_json: JsonOption = False,
) -> None:
    """Run the conformance kit over a plug-in: what is tried and why, what fails, and how to mend it. Exit code 1 if anything fails."""
    if not file.is_file():
        raise InputError(f"{file}: no such file; give the plug-in's Python file, for example search_spaces/plain_chain.py")
    from agd_bench.testing import check_file

    checks = check_file(file)
    if as_json:
        shown = [{"check": c.name, "passed": c.passed, "message": c.message, "explanation": c.explanation} for c in checks]
        print(json.dumps(shown, indent=2))
    else:
        for c in checks:
            print(f"{'ok  ' if c.passed else 'FAIL'}  {c.name}{': ' + c.message if c.message else ''}")
            print(textwrap.indent(textwrap.fill(c.explanation, 110, break_on_hyphens=False), " " * 6))
    if not all(c.passed for c in checks):
        raise typer.Exit(1)
