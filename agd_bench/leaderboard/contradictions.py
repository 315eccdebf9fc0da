"""Contradictions among raw rows with possible values: signs of edited or invented numbers."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pandas as pd

from agd_bench.store import Results

AT_THE_END = ("train_loss", "train_accuracy", "val_loss", "val_accuracy", "train_seconds")
"""Values that a finished trial takes from the last point of its curve."""
CLOCK_SECONDS = 1.0
"""By how much a worker's seconds may exceed the driver's: clocks are adjusted while a trial runs."""
FASTEST = 1e16
"""Operations per second that no device reaches; an H200 computes 1e15 in bfloat16."""
MOST_IMAGES = 100_000
MOST_SHARES = 200
"""Number of distinct accuracies needed to infer the number of images of a split."""


def find_contradictions(results: Results) -> list[str]:
    """Find rows that cannot all be true, one line per kind.

    Checks that a finished trial has one point per epoch and the values of the last one, that training seconds never decrease, that
    times are possible, that accuracies are whole numbers of images, and that different seeds gave different results.
    """
    trials, curves = results.trials, results.curves
    done = trials[trials["status"] == "done"]
    points = curves["trial_id"].value_counts()
    short = done[done["trial_id"].map(points).fillna(0) != done["epochs"]]
    lines = [f"curves.csv: trial {name} is done but does not have one point per epoch" for name in short["trial_id"]]
    lines += _ends(done, curves)
    slower = curves.groupby("trial_id")["train_seconds"].diff() < 0
    lines += [f"curves.csv: train_seconds of trial {name} decreases" for name in curves.loc[slower, "trial_id"].unique()[:3]]
    lines += _times(trials, results.attempts)
    for dataset, rows in done.groupby("dataset"):
        for name in ("val_accuracy", "test_accuracy"):
            lines += _fractions(rows, name, str(dataset))
    return [*lines, *_equal_seeds(done)]


def _ends(done: pd.DataFrame, curves: pd.DataFrame) -> Iterator[str]:
    last = curves.drop_duplicates("trial_id", keep="last").set_index("trial_id").reindex(done["trial_id"])
    own = done["representative"].isna().to_numpy()
    for name in AT_THE_END:
        stated, reached = done[name].to_numpy(dtype=np.float64), last[name].to_numpy(dtype=np.float64)
        # Both come from one number, so they may differ only by rounding; NaN equals NaN.
        agree = np.isclose(stated, reached, rtol=1e-9, atol=0, equal_nan=True)
        apart = ~agree & ~np.isnan(last["epoch"].to_numpy(dtype=np.float64))
        if name == "train_seconds":
            apart &= own  # a trial of an equal network takes the other's results, but not its seconds
        if apart.any():
            row = int(apart.argmax())
            yield (
                f"trials.csv: {name} of trial {done['trial_id'].iloc[row]} is {stated[row]}, but its curve ends at {reached[row]}"
                f" ({int(apart.sum())} such trials)"
            )


def _times(trials: pd.DataFrame, attempts: pd.DataFrame) -> Iterator[str]:
    """Times that cannot be: parts longer than the whole, and more operations than any device computes."""
    span = attempts["ended_at"] - attempts["started_at"]
    for name in attempts.loc[attempts["seconds"] > span + CLOCK_SECONDS, "trial_id"].unique()[:3]:
        yield f"attempts.csv: an attempt of trial {name} took more seconds than passed between its start and its end"
    own = trials[trials["representative"].isna()]
    # a resumed trial trained before its last attempt, whose time alone is `total_seconds`
    longer = (own["train_seconds"] > own["total_seconds"]) & (own["attempts"] == 1)
    for name in own.loc[longer, "trial_id"][:3]:
        yield f"trials.csv: train_seconds of trial {name} exceed its total_seconds"
    seconds, flops = (pd.to_numeric(own[column]).astype("float64") for column in ("train_seconds", "flops"))
    for name in own.loc[flops > FASTEST * seconds, "trial_id"][:3]:
        yield f"trials.csv: trial {name} computed more than {FASTEST:.0e} operations per second, which no device does"


def _fractions(rows: pd.DataFrame, name: str, dataset: str) -> Iterator[str]:
    """Accuracies that are not a multiple of one image although nearly all others are."""
    shares = rows[name].dropna()
    different = shares.unique()[:MOST_SHARES]
    # An accuracy is k / n, so its denominator in lowest terms divides the n images.
    sizes = {Fraction(float(share)).limit_denominator(MOST_IMAGES).denominator for share in different}
    # Too few distinct shares do not determine n.
    if len(different) < 10:
        return
    whole = {size: (np.abs(different * size - np.round(different * size)) < 1e-6).mean() for size in sizes}
    # Among sizes that fit equally well take the smallest, because its multiples fit too.
    images = max(whole, key=lambda size: (whole[size], -size))
    odd = shares[np.abs(shares * images - np.round(shares * images)) >= 1e-6]
    # More of them would mean that n was inferred wrongly, not that rows were edited.
    if 0 < len(odd) <= 0.1 * len(shares):
        yield (
            f"trials.csv: {name} of trial {rows.loc[odd.index[0], 'trial_id']} on {dataset} is {odd.iloc[0]}, which is not a whole number "
            f"of its {images} images, unlike the others ({len(odd)} such trials)"
        )


def _equal_seeds(done: pd.DataFrame) -> Iterator[str]:
    own = done[done["representative"].isna() & (done["purpose"] == "final")]
    same = ["search_space", "dataset", "dataset_share", "architecture", "algorithm", "profile", "epochs", "train_loss", "val_loss"]
    # Dead networks have equal losses from every seed but classify different images correctly.
    alike = own[own.duplicated([*same, "train_accuracy", "val_accuracy", "test_accuracy"], keep=False)]
    if len(alike):
        yield f"trials.csv: different seeds gave identical results to the last digit, for example trial {alike['trial_id'].iloc[0]}"
