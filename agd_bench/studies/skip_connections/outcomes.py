"""The pre-registered outcomes of a sweep over skips, from recorded readings of its networks: hypothesis, control and dose-response.

A sweep records its networks with `diagnostics = ["network"]` or `["network-start"]`. Three families of cells were registered, each with its
own correction: the hypothesis (the fixed path of gain 1 against the plain projection, at every rate and at the rate tuned for each
variant), the control (a projection with singular values raised to those of the fixed path, without the path), and the trend over the path's
gain. Each is reported for all epochs and for the first fifth of them.

References:
    L. E. MacDonald, J. Valmadre, H. Saratchandran and S. Lucey, On skip connections and normalisation layers in deep optimisation,
    NeurIPS 2023 (the source of the claim; see `hypothesis` for the test).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from agd_bench.analysis.scores import GROUP
from agd_bench.errors import InputError
from agd_bench.studies.skip_connections.hypothesis import RUN, dose_trend, log_loss_area, skip_test, tuned_rate

_NAME = r"^(?P<part>[a-z]+)\.(?P<quantity>\w+)(?:\.(?P<mode>train|eval))?@(?P<step>\d+)/(?P<place>.*)$"
_MEANS = ("mean", "mean_by_quadrature")


def network_readings(diagnostics: pd.DataFrame) -> pd.DataFrame:
    """The readings of networks in a table of diagnostics; records of optimizers are left out.

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
    """The mean singular value of each trial's blocks at the start: the mean for each block's Jacobian, averaged over blocks.

    Uses batch statistics (`train`) if the network has them; exact or by quadrature, depending on each block's size.

    Returns:
        Values by `trial_id`, for the trials with such readings.
    """
    rows = network_readings(diagnostics)
    rows = rows[(rows["step"] == 0) & (rows["part"] == "block") & rows["quantity"].isin(_MEANS)]
    means = rows.groupby(["trial_id", "mode"])["value"].mean().unstack("mode").reindex(columns=["train", "eval"])
    # Training uses batch statistics; networks without normalisation have only one mode.
    values: pd.Series[float] = means["train"].fillna(means["eval"])
    return values


def skip_runs(trials: pd.DataFrame, curves: pd.DataFrame, diagnostics: pd.DataFrame, share: float = 1.0) -> pd.DataFrame:
    """The final trials of a sweep over skips as runs of `skip_test`: a cell's learning rate is an algorithm's label.

    The area is computed from the mean training losses of the epochs.

    Args:
        trials: the table of trials, of one search space and profile, all algorithms with the same initialisation.
        curves: the table of curves.
        diagnostics: the table of diagnostics, with networks' readings.
        share: share of the planned epochs that count, in (0, 1].

    Returns:
        One row per final trial that is done or diverged: `dataset`, `learning_rate`, `variant` (the architecture), `seed`,
        `mean_singular_value`, `area`, `diverged`.

    Raises:
        InputError: several search spaces or profiles, or a trial whose singular values are known from no trial of its kind.
    """
    ended = trials[(trials["purpose"] == "final") & trials["status"].isin(["done", "diverged"])]
    if len(ended[["search_space", "profile"]].drop_duplicates()) > 1:
        raise InputError("trials: several search spaces or profiles; pass the trials of one search space and profile at a time")
    network = ["dataset", "architecture", "seed"]
    measured = ended.assign(mean_singular_value=ended["trial_id"].map(initial_singular_values(diagnostics)))
    # The reading depends only on data set, architecture and seed: a trial that diverged before it uses another algorithm's reading.
    singular = measured.groupby(network)["mean_singular_value"].transform("first")
    if singular.isna().any():
        example = measured.loc[singular.isna(), network].iloc[0].to_dict()
        raise InputError(f'no readings for {example}; run the sweep with diagnostics = ["network-start"]')
    losses = {key: rows.sort_values("epoch")["train_loss"].to_numpy(dtype=np.float64) for key, rows in curves.groupby("trial_id")}
    diverged = (ended["status"] == "diverged").to_numpy()
    areas = [np.inf if lost else log_loss_area(losses[key], share) for key, lost in zip(ended["trial_id"], diverged, strict=True)]
    runs = ended.assign(variant=ended["architecture"], learning_rate=ended["algorithm"])
    return runs.assign(mean_singular_value=singular, area=areas, diverged=diverged)[RUN].reset_index(drop=True)


_KIND = r"^(?P<kind>projection|(?:fixed|matched)-(?P<gain>\d+(?:\.\d+)?))(?P<rest>/.*)$"
FAMILIES = {"hypothesis": "fixed-1", "control": "matched-1"}
"""The variant compared with `projection` in each family of the test."""
WINDOWS = {"all epochs": 1.0, "first fifth": 0.2}
"""Share of the epochs whose losses count."""


def sweep_skip_runs(trials: pd.DataFrame, curves: pd.DataFrame, diagnostics: pd.DataFrame) -> pd.DataFrame:
    """The runs of the skip test in every comparison group of a sweep, including those at tuned rates.

    Returns:
        `search_space`, `profile`, `window` (of `WINDOWS`), `dataset`, `learning_rate` (the algorithm's label, or `tuned`), `variant`,
        `seed`, `mean_singular_value`, `area`, `diverged`, `dose` (the fixed path's gain, 0 for a projection; missing for a matched one).
        Architectures are those of `resnet_skips` whose shortcut is a projection, a fixed path or a matched projection; no rows without
        their readings. A trial that diverged before it was read, and whose network no other algorithm has read yet, is left out.
    """
    network = [*GROUP, "architecture", "seed"]
    read = trials[trials["trial_id"].isin(initial_singular_values(diagnostics).index)]
    # Match by network, not by trial: another algorithm's reading of the same initial weights is equally valid.
    read = read.loc[read["architecture"].astype(str).str.match(_KIND), network].drop_duplicates()
    chosen = trials[trials["purpose"] == "final"].merge(read, on=network) if len(read) else trials.iloc[:0]
    own = curves[curves["trial_id"].isin(chosen["trial_id"])]
    tables = [
        _with_tuned(skip_runs(group, own, diagnostics, share)).assign(search_space=str(space), profile=str(profile), window=window)
        for (space, profile, _), group in chosen.groupby(["search_space", "profile", "dataset"], sort=False, observed=True)
        for window, share in WINDOWS.items()
    ]
    runs = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=["search_space", "profile", "window", *RUN])
    kinds = runs["variant"].astype(str).str.extract(_KIND)
    # A plain projection is a path with gain 0.
    doses = pd.to_numeric(kinds["gain"]).astype("float64").mask(kinds["kind"] == "projection", 0.0)
    # A matched projection has the singular values of a fixed path but no path, so its gain is not a dose.
    runs["dose"] = doses.mask(kinds["kind"].astype(str).str.startswith("matched"))
    return runs[["search_space", "profile", "window", *RUN, "dose"]]


def _with_tuned(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs, plus every variant at its best rate if there are seeds to choose it on."""
    if runs["learning_rate"].nunique() < 2:
        return runs
    try:
        tuned = tuned_rate(runs)
    except InputError:  # unfinished run: fewer than two seeds have every rate so far
        return runs
    return pd.concat([runs, tuned[RUN]], ignore_index=True)


def _groups(runs: pd.DataFrame) -> Iterator[tuple[dict[str, str], pd.DataFrame, str]]:
    """Columns of comparison group and window, the runs, and the part of the architecture after the kind of skip."""
    rests = runs["variant"].astype(str).str.extract(_KIND)["rest"]
    for (space, profile, window, _, rest), part in runs.groupby(["search_space", "profile", "window", "dataset", rests], sort=False):
        yield {"search_space": str(space), "profile": str(profile), "window": str(window)}, part, str(rest)


def skip_outcomes(runs: pd.DataFrame) -> pd.DataFrame:
    """Apply the registered test to a sweep.

    Returns:
        `search_space`, `profile`, `window`, `family` (`hypothesis` or `control`) and the columns of `skip_test`, corrected within each
        group, window and family.
    """
    tables = [
        # Each family was registered separately, so Holm's correction is applied within it.
        skip_test(part[RUN], [(f"projection{rest}", f"{variant}{rest}")]).assign(**group, family=family)
        for group, part, rest in _groups(runs)
        for family, variant in FAMILIES.items()
    ]
    found = [table for table in tables if len(table)]
    table = (
        pd.concat(found, ignore_index=True)
        if found
        else skip_test(runs[RUN], []).assign(**dict.fromkeys(("search_space", "profile", "window", "family"), ""))
    )
    first = ["search_space", "profile", "window", "family"]
    return table[[*first, *(name for name in table if name not in first)]]


def dose_outcomes(runs: pd.DataFrame) -> pd.DataFrame:
    """Test whether training gets faster with every increase of the fixed path's gain.

    Returns:
        `search_space`, `profile`, `window` and the columns of `dose_trend`; no rows of groups with fewer than three doses.
    """
    tables = []
    for group, part, _ in _groups(runs):
        doses = dict(part.dropna(subset="dose").drop_duplicates("variant").set_index("variant")["dose"])
        # Two doses form a contrast, not a trend.
        if len(doses) >= 3:
            tables.append(dose_trend(part[RUN], {str(name): float(dose) for name, dose in doses.items()}).assign(**group))
    first = ["search_space", "profile", "window"]
    if not tables:
        return pd.DataFrame(columns=[*first, *dose_trend(runs[RUN].iloc[:0], {"a": 0.0, "b": 1.0, "c": 2.0}).columns])
    table = pd.concat(tables, ignore_index=True)
    return table[[*first, *(name for name in table if name not in first)]]
