"""What a sweep records of its networks (`diagnostics = ["network"]` or `["network-start"]`): a table of steps, and runs to test."""

from __future__ import annotations

import numpy as np
import pandas as pd

from agd_bench.errors import InputError
from agd_bench.studies.skip_connections.hypothesis import RUN, log_loss_area

_NAME = r"^(?P<part>[a-z]+)\.(?P<quantity>\w+)(?:\.(?P<mode>train|eval))?@(?P<step>\d+)/(?P<place>.*)$"
_MEANS = ("mean", "mean_by_quadrature")


def network_readings(diagnostics: pd.DataFrame) -> pd.DataFrame:
    """The readings of networks in a table of diagnostics; what optimizers say is left out.

    Args:
        diagnostics: the table of diagnostics.

    Returns:
        One row per number: `trial_id`, `step` (training steps done, from 0), `mode` (`train`, `eval`, or empty where it does not
        matter), `part` (`block`, `head`, `operator`, `slope`, `charge`), `place` (the module's name), `quantity`, `value`.

    >>> said = pd.DataFrame({"trial_id": "x", "epoch": 1, "name": ["block.mean.train@5/layer.2", "slope.loss.eval@5/", "eta/mean"],
    ...     "value": [0.4, 2.3, 0.1]})
    >>> network_readings(said).values.tolist()
    [['x', 5, 'train', 'block', 'layer.2', 'mean', 0.4], ['x', 5, 'eval', 'slope', '', 'loss', 2.3]]
    """
    parts = diagnostics["name"].astype(str).str.extract(_NAME)
    rows = pd.concat([diagnostics[["trial_id", "value"]], parts], axis=1)[parts["part"].notna()]
    rows = rows.assign(mode=rows["mode"].fillna(""), step=rows["step"].astype("int64"))
    return rows[["trial_id", "step", "mode", "part", "place", "quantity", "value"]].reset_index(drop=True)


def initial_singular_values(diagnostics: pd.DataFrame) -> pd.Series[float]:
    """The mean singular value of each trial's blocks at the start: of every block's Jacobian, then over blocks.

    With batch statistics (`train`) where the network has some; exact or by quadrature, as each block's size allowed.

    Args:
        diagnostics: the table of diagnostics.

    Returns:
        By `trial_id`, for the trials that have such readings.
    """
    rows = network_readings(diagnostics)
    rows = rows[(rows["step"] == 0) & (rows["part"] == "block") & rows["quantity"].isin(_MEANS)]
    means = rows.groupby(["trial_id", "mode"])["value"].mean().unstack("mode").reindex(columns=["train", "eval"])
    # Training sees batch statistics; networks without normalisation have one mode only.
    values: pd.Series[float] = means["train"].fillna(means["eval"])
    return values


def skip_runs(trials: pd.DataFrame, curves: pd.DataFrame, diagnostics: pd.DataFrame, share: float = 1.0) -> pd.DataFrame:
    """The final trials of a sweep over skips as runs of `skip_test`: a cell's learning rate is an algorithm's label.

    The area is that of the epochs' mean training losses.

    Args:
        trials: the table of trials, of one search space and profile, all algorithms with the same initialisation.
        curves: the table of curves.
        diagnostics: the table of diagnostics, with networks' readings.
        share: of the planned epochs that count, in (0, 1].

    Returns:
        One row per final trial that is done or diverged: `dataset`, `learning_rate`, `variant` (the architecture), `seed`,
        `mean_singular_value`, `area`, `diverged`.

    Raises:
        InputError: several search spaces or profiles, or a trial whose singular values are known from no trial of its kind.
    """
    ended = trials[(trials["purpose"] == "final") & trials["status"].isin(["done", "diverged"])]
    if len(ended[["search_space", "profile"]].drop_duplicates()) > 1:
        raise InputError("trials: of several search spaces or profiles; give those of one at a time")
    network = ["dataset", "architecture", "seed"]
    measured = ended.assign(mean_singular_value=ended["trial_id"].map(initial_singular_values(diagnostics)))
    # It depends on data set, architecture and seed alone: a trial that diverged before its reading takes that of another algorithm.
    singular = measured.groupby(network)["mean_singular_value"].transform("first")
    if singular.isna().any():
        example = measured.loc[singular.isna(), network].iloc[0].to_dict()
        raise InputError(f'no readings of {example}; run the sweep with diagnostics = ["network-start"]')
    losses = {key: rows.sort_values("epoch")["train_loss"].to_numpy(dtype=np.float64) for key, rows in curves.groupby("trial_id")}
    diverged = (ended["status"] == "diverged").to_numpy()
    areas = [np.inf if lost else log_loss_area(losses[key], share) for key, lost in zip(ended["trial_id"], diverged, strict=True)]
    runs = ended.assign(variant=ended["architecture"], learning_rate=ended["algorithm"])
    return runs.assign(mean_singular_value=singular, area=areas, diverged=diverged)[RUN].reset_index(drop=True)
