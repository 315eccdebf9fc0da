"""The page of a reproduction: a folder with what was asked, the raw rows, the table, and what was found."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from agd_bench.errors import InputError
from agd_bench.leaderboard import as_plain_markdown, scrub_results
from agd_bench.reproducing.defining import PAPER_SCALE, Reproduction, builtin_reproductions
from agd_bench.reproducing.listing import TAU
from agd_bench.reproducing.measuring import measured
from agd_bench.store import Results

MISSING = "–"
NOTES = "notes.md"
"""What somebody wrote about the outcome; kept when the page is written again."""


def publish_reproduction(experiment: Reproduction, scale: str, results: Mapping[str, Results], folder: Path) -> Path:
    """Write the page of an experiment at a scale, and renew the list beside it. Names of machines, users and folders are taken out.

    The folder holds `README.md`, `values.csv` (`measured`), `trials.csv`, `curves.csv` and `attempts.csv` (the raw rows of all runs, with
    versions and devices), `sweeps.json` (what was asked, by run), `reproduction.toml` (the definition) and `meta.json` (digests of the
    plug-ins). A file `notes.md`, written by hand, stands in the page as what was found.

    Args:
        experiment: what was run.
        scale: at which.
        results: by the name of the run.
        folder: `NAME-SCALE`, or `NAME` at the paper's scale, is made in it.

    Returns:
        The page.

    Raises:
        InputError: nothing was run.
    """
    if not results:
        raise InputError(f"reproduction {experiment.name!r}: no run has begun, so there is nothing to publish")
    own = folder / (experiment.name if scale == PAPER_SCALE else f"{experiment.name}-{scale}")
    own.mkdir(parents=True, exist_ok=True)
    clean = {name: scrub_results(result) for name, result in results.items()}
    table = measured(experiment, scale, clean)
    table.to_csv(own / "values.csv", index=False, lineterminator="\n")
    for rows in ("trials", "curves", "attempts"):
        parts = [getattr(result, rows).assign(run=name) for name, result in clean.items()]
        pd.concat(parts, ignore_index=True).to_csv(own / f"{rows}.csv", index=False, lineterminator="\n")
    sweeps = {name: json.loads(result.sweep.model_dump_json()) for name, result in clean.items()}
    _write_json(own / "sweeps.json", sweeps)
    _write_json(own / "meta.json", {name: result.meta for name, result in clean.items()})
    definition = builtin_reproductions()[experiment.name].read_text(encoding="utf-8")
    (own / "reproduction.toml").write_text(definition, encoding="utf-8")
    page = own / "README.md"
    page.write_text(_page(experiment, scale, clean, table, own), encoding="utf-8")
    _write_index(folder)
    return page


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _page(experiment: Reproduction, scale: str, results: Mapping[str, Results], table: pd.DataFrame, folder: Path) -> str:
    reduced = experiment.scale(scale)
    waiting = any(result.trials["status"].isin(["pending", "running"]).any() for result in results.values())
    partial = waiting or len(results) < len(experiment.sweeps(scale))
    notes = folder / NOTES
    found = notes.read_text(encoding="utf-8").strip() if notes.is_file() else ""
    paragraphs = [
        f"# {as_plain_markdown(experiment.title)}",
        f"From {as_plain_markdown(experiment.paper)}.",
        "**Partial: some trials have not ended.**" if partial else "",
        _markdown_table(table),
        "Accuracies in per cent after the last epoch, on the test split unless it says otherwise, differences in points; the interval is a "
        "95 % t interval of the mean over n trainings, or, of a correlation, a bootstrap over n architectures.",
        f"## What was found\n\n{found}" if found else "",
        f"## Reduced\n\n{reduced.reduced}\n\n**What cannot be concluded:** {reduced.cannot_conclude}" if scale != PAPER_SCALE else "",
        f"## Different from the paper at every scale\n\n{experiment.differs}",
        f"Not stated by the paper: {experiment.unknown}" if experiment.unknown else "",
        f"## Run it again\n\n`agd-bench reproduce {experiment.name} --scale {scale}`",
        f"{_work(results)} Raw rows: `trials.csv`, `curves.csv`, `attempts.csv` (with versions and devices); asked: `sweeps.json`.",
    ]
    return "\n\n".join(text for text in paragraphs if text) + "\n"


def _work(results: Mapping[str, Results]) -> str:
    trials = pd.concat([result.trials for result in results.values()])
    seconds = float(pd.to_numeric(trials["charged_seconds"]).sum())
    return f"{len(trials)} trials, {seconds / 60:.0f} minutes of one device (a core or a GPU; see `attempts.csv`) charged."


def _markdown_table(table: pd.DataFrame) -> str:
    lines = ["| | paper | ours | 95 % interval | n | difference |", "|---|---|---|---|---|---|"]
    for row in table.to_dict("records"):
        source = f" ({row['source']})" if row["source"] else ""
        network = f" [{row['architecture']}]" if row["architecture"] else ""
        paper, ours, low, high, difference = (
            _written(row[name], row["measure"]) for name in ("published", "ours", "low", "high", "difference")
        )
        between = f"{low} to {high}" if row["low"] == row["low"] else MISSING
        cells = [row["what"] + network, paper + source, ours, between, str(row["n"]), difference]
        lines.append(f"| {' | '.join(as_plain_markdown(cell) for cell in cells)} |")
    return "\n".join(lines)


def _written(value: float, measure: str) -> str:
    """An accuracy in per cent, a correlation with two decimals."""
    if value != value:  # NaN alone differs from itself
        return MISSING
    return f"{value:.2f}" if measure in (TAU, "prediction_r") else f"{100 * value:.1f}"


def _write_index(folder: Path) -> None:
    """The list of all pages in the folder."""
    lines = ["# Reproductions", "", "Experiments of papers, run again with `agd-bench reproduce`. Misses are published too.", ""]
    for page in sorted(folder.glob("*/README.md")):
        title = page.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
        lines.append(f"- [{page.parent.name}]({page.parent.name}/README.md): {title}")
    (folder / "README.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
