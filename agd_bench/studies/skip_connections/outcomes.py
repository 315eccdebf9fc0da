"""The registered outcomes of a sweep over skips: the hypothesis, its control, and the dose-response, in every comparison group.

Three families of cells were registered, and each is corrected for itself: the hypothesis (the fixed path of gain 1 against the plain
projection, at every rate and at the rate tuned for each variant), the control (a projection whose singular values are raised to those
of the fixed path, without the path), and the trend over the path's gain. Each is told of all epochs and of the first fifth of them.

References:
    L. E. MacDonald, J. Valmadre, H. Saratchandran and S. Lucey, On skip connections and normalisation layers in deep optimisation,
    NeurIPS 2023 (whose claim it is; see `hypothesis` for the test).
"""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from agd_bench.analysis.scores import GROUP
from agd_bench.errors import InputError
from agd_bench.studies.skip_connections.hypothesis import RUN, dose_trend, skip_test, tuned_rate
from agd_bench.studies.skip_connections.readings import initial_singular_values, skip_runs

_KIND = r"^(?P<kind>projection|(?:fixed|matched)-(?P<gain>\d+(?:\.\d+)?))(?P<rest>/.*)$"
FAMILIES = {"hypothesis": "fixed-1", "control": "matched-1"}
"""What is compared with `projection` in each family of the test."""
WINDOWS = {"all epochs": 1.0, "first fifth": 0.2}
"""Share of the epochs whose losses count."""


def sweep_skip_runs(trials: pd.DataFrame, curves: pd.DataFrame, diagnostics: pd.DataFrame) -> pd.DataFrame:
    """The runs of the skip test in every comparison group of a sweep, those at tuned rates among them.

    Args:
        trials: the table of trials.
        curves: the table of curves.
        diagnostics: the table of diagnostics.

    Returns:
        `search_space`, `profile`, `window` (of `WINDOWS`), `dataset`, `learning_rate` (the algorithm's label, or `tuned`), `variant`,
        `seed`, `mean_singular_value`, `area`, `diverged`, `dose` (the fixed path's gain, 0 for a projection; missing for a matched one).
        Architectures are those of `resnet_skips` whose shortcut is a projection, a fixed path or a matched projection; no rows without
        their readings. A trial that diverged before it was read, and whose network no other algorithm has read yet, is left out.
    """
    network = [*GROUP, "architecture", "seed"]
    read = trials[trials["trial_id"].isin(initial_singular_values(diagnostics).index)]
    # Matched by network, not by trial: another algorithm's reading of the same initial weights will do.
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
    # A plain projection is the path with gain 0.
    doses = pd.to_numeric(kinds["gain"]).astype("float64").mask(kinds["kind"] == "projection", 0.0)
    # A matched projection has singular values like a fixed path but no path, so its gain is no dose of it.
    runs["dose"] = doses.mask(kinds["kind"].astype(str).str.startswith("matched"))
    return runs[["search_space", "profile", "window", *RUN, "dose"]]


def _with_tuned(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs, and those of every variant at the rate that is best for it, where there are seeds to choose it on."""
    if runs["learning_rate"].nunique() < 2:
        return runs
    try:
        tuned = tuned_rate(runs)
    except InputError:  # of a run that has not ended: fewer than two seeds have every rate so far
        return runs
    return pd.concat([runs, tuned[RUN]], ignore_index=True)


def _groups(runs: pd.DataFrame) -> Iterator[tuple[dict[str, str], pd.DataFrame, str]]:
    """Comparison group and window in columns, the runs, and what architectures have in common behind the kind of their skip."""
    rests = runs["variant"].astype(str).str.extract(_KIND)["rest"]
    for (space, profile, window, _, rest), part in runs.groupby(["search_space", "profile", "window", "dataset", rests], sort=False):
        yield {"search_space": str(space), "profile": str(profile), "window": str(window)}, part, str(rest)


def skip_outcomes(runs: pd.DataFrame) -> pd.DataFrame:
    """What the registered test says of a sweep.

    Args:
        runs: `sweep_skip_runs`.

    Returns:
        `search_space`, `profile`, `window`, `family` (`hypothesis` or `control`) and the columns of `skip_test`, corrected within each
        group, window and family.
    """
    tables = [
        # Each family was registered apart, so Holm's correction stays within it.
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
    """Whether training gets faster with every increase of the fixed path's gain.

    Args:
        runs: `sweep_skip_runs`.

    Returns:
        `search_space`, `profile`, `window` and the columns of `dose_trend`; no rows of groups with fewer than three doses.
    """
    tables = []
    for group, part, _ in _groups(runs):
        doses = dict(part.dropna(subset="dose").drop_duplicates("variant").set_index("variant")["dose"])
        # Two doses are a contrast, not a trend.
        if len(doses) >= 3:
            tables.append(dose_trend(part[RUN], {str(name): float(dose) for name, dose in doses.items()}).assign(**group))
    first = ["search_space", "profile", "window"]
    if not tables:
        return pd.DataFrame(columns=[*first, *dose_trend(runs[RUN].iloc[:0], {"a": 0.0, "b": 1.0, "c": 2.0}).columns])
    table = pd.concat(tables, ignore_index=True)
    return table[[*first, *(name for name in table if name not in first)]]
