"""The part of a report about the pre-registered test of skip connections, and its sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from agd_bench.analysis.rows import Row, records
from agd_bench.figures import Drawing
from agd_bench.store import Results
from agd_bench.studies.skip_connections.figures import dose_response_picture, skip_test_picture
from agd_bench.studies.skip_connections.outcomes import dose_outcomes, skip_outcomes, sweep_skip_runs
from agd_bench.studies.study import Study, Tables


def compute_tables(trials: pd.DataFrame, results: Results) -> dict[str, pd.DataFrame]:
    """Of sweeps over skips whose networks were measured at the start; no rows of others."""
    runs = sweep_skip_runs(trials, results.curves, results.diagnostics)
    return {"skip_runs": runs, "skip_outcomes": skip_outcomes(runs), "dose_outcomes": dose_outcomes(runs)}


def conclude(tables: Tables) -> Iterator[str]:
    """A sentence for each family of the registered test and each window."""
    families: dict[tuple[str, str], list[Row]] = {}
    for row in records(tables, "skip_outcomes"):
        families.setdefault((row["window"], row["family"]), []).append(row)
    yield from (skip_sentence(rows, window) for (window, _), rows in families.items())


def show(tables: Tables) -> Iterator[Drawing | str]:
    """The registered test cell by cell, and the dose-response."""
    if not records(tables, "skip_outcomes"):
        return
    runs, outcomes = tables["skip_runs"], tables["skip_outcomes"]
    yield from (dose_sentence(trend) for trend in records(tables, "dose_outcomes"))
    # The first window is all epochs; the others are in the table and the sentences.
    whole = outcomes[outcomes["window"] == outcomes["window"].iloc[0]].reset_index(drop=True)
    if whole["variant"].str.split("/", n=1).str[1].nunique() == 1:  # nothing but the skip differs, so its kind is name enough
        whole = whole.assign(**{side: whole[side].str.split("/", n=1).str[0] for side in ("variant", "control")})
    yield Drawing("skip-test", skip_test_picture(whole), ("skip_outcomes",))
    drawn = runs[(runs["window"] == runs["window"].iloc[0]) & runs["dose"].notna()]
    doses = {str(name): float(dose) for name, dose in drawn.drop_duplicates("variant").set_index("variant")["dose"].items()}
    yield Drawing("dose-response", dose_response_picture(drawn, doses), ("skip_runs", "dose_outcomes"))


def skip_sentence(rows: Sequence[Row], window: str) -> str:
    """What the test says of one family, with where it says so.

    Args:
        rows: of `skip_outcomes`, of one group, window and family.
        window: the losses that count.

    >>> row = {"family": "hypothesis", "variant": "fixed-1/x", "control": "projection/x", "outcome": "predicted", "learning_rate": "sgd-1",
    ...     "pairs": 12}
    >>> skip_sentence([row], "all epochs")
    'Hypothesis (fixed-1 against projection, losses of all epochs): predicted in 1 of 1 cells (sgd-1); 12 pairs in each.'
    """
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(row["outcome"], []).append(str(row["learning_rate"]))
    said = [f"{outcome} in {len(labels)} of {len(rows)} cells ({', '.join(labels)})" for outcome, labels in found.items()]
    variant, control = (str(rows[0][side]).split("/", 1)[0] for side in ("variant", "control"))
    pairs = sorted({int(row["pairs"]) for row in rows})
    counted = f"{pairs[0]} to {pairs[-1]}" if len(pairs) > 1 else str(pairs[0])
    family = str(rows[0]["family"]).capitalize()
    return f"{family} ({variant} against {control}, losses of {_words(window)}): {'; '.join(said)}; {counted} pairs in each."


def dose_sentence(row: Row) -> str:
    """What more of the fixed path does, in one cell.

    Args:
        row: of `dose_outcomes`.
    """
    return (
        f"More of the fixed path, {row['learning_rate']}, losses of {_words(str(row['window']))}: rank correlation of its gain with the "
        f"log-loss area {row['area_trend']:+.2f} (below 0: faster; {row['doses']} gains, {row['seeds']} seeds, corrected p = "
        f"{row['p_holm']:.3f}): {row['outcome']}."
    )


def _words(window: str) -> str:
    return window if window.startswith("all") else f"the {window} of the epochs"


SKIP_CONNECTIONS = Study("Do skips with larger singular values train faster?", compute_tables, conclude, show)
