"""Effects of cheaper tuning: rankings under cheaper tuning scopes against per-architecture tuning, and choices of sweep-wide studies."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import pandas as pd

from agd_bench.analysis.accuracy import accuracy_difference
from agd_bench.analysis.costs.charges import charged_cost
from agd_bench.analysis.rankings.kendall import kendall_tau
from agd_bench.analysis.rankings.regret import transfer_regret
from agd_bench.analysis.scores import GROUP
from agd_bench.errors import InputError
from agd_bench.records import Sweep, canonical_json

REFERENCE = "architecture"
_TAU = ["architectures", "seeds", "kendall_tau", "noise_ceiling", "gap", "gap_low", "gap_high"]
_DIFFERENCE = ["accuracy_difference", "difference_low", "difference_high"]
_COST = ["seconds_ratio", "flops_ratio"]


def scope_bias(
    trials: pd.DataFrame, scopes: Sweep | Mapping[str, str], metric: str = "test_accuracy", resamples: int = 1000
) -> pd.DataFrame:
    """Compare entries of one training algorithm under cheaper tuning scopes with the same algorithm tuned per architecture.

    The rank bias of a scope is the gap between its agreement with the reference and the agreement to be expected with seed noise alone
    (`kendall_tau`). The reference's ranking also contains randomness of its studies, which the final trials' seeds do not vary, so a gap
    can also result from studies with different choices by chance.

    Args:
        trials: the table of trials.
        scopes: the sweep, in which entries with the same plug-in, hyperparameters and loss belong together, or the scope of each label of
            one
    plug-in. An entry with scope `architecture` is required as the reference.
        metric: which accuracy.
        resamples: bootstrap resamples of the gap's interval; 0: none.

    Returns:
        One row per group and entry with another scope: `search_space`, `dataset`, `profile`, `algorithm` (its label), `reference` (label of
        the entry tuned per architecture), `scope`; `architectures`, `seeds`, `kendall_tau` (with the reference), `noise_ceiling`, `gap`
        (negative: this scope ranks the architectures differently), `gap_low`, `gap_high` as in `kendall_tau`;
        `accuracy_difference` (entry − reference, mean over architectures; negative: this scope trains worse) with `difference_low`,
        `difference_high` (95 % t interval over architectures); `seconds_ratio`, `flops_ratio` (charge of the entry divided by that of the
        reference, including tuning; below 1: cheaper); `transfer_regret` (accuracy that the reference loses if this scope's ranking chooses
        the architecture, a share).

    Raises:
        InputError: a mapping without exactly one label with scope `architecture`.
        UnknownNameError: a label that a group does not hold.
    """
    rows: list[pd.DataFrame] = []
    for reference, others in _families(scopes):
        own = trials[trials["algorithm"].isin([reference, *others])]
        agreement = _towards(kendall_tau(own, metric, resamples), reference)
        regret = transfer_regret(own, metric).rename(columns={"chosen_by": "algorithm"})
        regret = regret.loc[regret["trained_by"] == reference, [*GROUP, "algorithm", "transfer_regret"]]
        cost = charged_cost(own, baseline=reference)[[*GROUP, "algorithm", *_COST]]
        for label, scope in others.items():
            table = accuracy_difference(own, reference, label, metric)[[*GROUP, "difference", "low", "high"]]
            table = table.rename(columns=dict(zip(["difference", "low", "high"], _DIFFERENCE, strict=True)))
            table = table.assign(algorithm=label, reference=reference, scope=scope)
            for more in (agreement, cost, regret):
                table = table.merge(more, on=[*GROUP, "algorithm"], how="left", validate="one_to_one")
            rows.append(table)
    columns = [*GROUP, "algorithm", "reference", "scope", *_TAU, *_DIFFERENCE, *_COST, "transfer_regret"]
    return pd.concat(rows, ignore_index=True)[columns] if rows else pd.DataFrame(columns=columns)


def _towards(agreement: pd.DataFrame, reference: str) -> pd.DataFrame:
    """The rows of pairs with the reference, with the other algorithm in column `algorithm`."""
    with_it = agreement[(agreement["algorithm"] == reference) ^ (agreement["other"] == reference)]
    other = with_it["algorithm"].where(with_it["algorithm"] != reference, with_it["other"])
    return with_it[[*GROUP, *_TAU]].assign(algorithm=other)


def _families(scopes: Sweep | Mapping[str, str]) -> list[tuple[str, dict[str, str]]]:
    """For each plug-in, the label tuned per architecture, and the scopes of its other labels."""
    if not isinstance(scopes, Sweep):
        references = [label for label, scope in scopes.items() if scope == REFERENCE]
        if len(references) != 1:
            raise InputError(
                f"scopes {dict(scopes)}: {len(references)} labels with scope {REFERENCE!r}; exactly one is required as the reference"
            )
        return [(references[0], {label: scope for label, scope in scopes.items() if scope != REFERENCE})]
    families: dict[str, dict[str, str]] = {}
    for choice in scopes.algorithms:
        if choice.tuning_trials or choice.tuning_scope == "none":
            # Entries of one family differ only in how they are tuned.
            key = canonical_json([choice.name, choice.hyperparameters, choice.loss])
            families.setdefault(key, {})[choice.label] = choice.tuning_scope
    found = []
    for labels in families.values():
        reference = next((label for label, scope in labels.items() if scope == REFERENCE), None)
        others = {label: scope for label, scope in labels.items() if scope != REFERENCE}
        if reference is not None and others:
            found.append((reference, others))
    return found


_PROPOSAL = ["algorithm", "study", "number"]
COLUMNS = [*GROUP, "algorithm", "number", "setting", "val_accuracy", "mean_val_accuracy", "not_done", "rank"]


def calibrations(trials: pd.DataFrame, labels: Collection[str]) -> pd.DataFrame:
    """Every proposal of the sweep-wide studies, evaluated by its mean over all workloads of a sweep.

    A proposal is evaluated by the mean validation accuracy of all its trials; a proposal with an unsuccessful trial cannot be chosen. The
    test split is not used.

    Args:
        trials: the table of trials.
        labels: labels of the algorithms with tuning scope `sweep`.

    Returns:
        One row per group, algorithm and proposal: `search_space`, `dataset`, `profile`, `algorithm`, `number` (of the proposal, from 0),
        `setting` (JSON of its values), `val_accuracy` (mean over the proposal's trials in this group; NaN if none completed),
        `mean_val_accuracy` (over its trials in all groups), `not_done` (trials in all groups that were unsuccessful or have not ended),
        `rank` (1: chosen; NaN: cannot be chosen).

    >>> rows = {"algorithm": "x", "study": "k", "purpose": "tuning", "search_space": "s", "dataset": ["d", "d", "e", "e"],
    ...     "profile": "p", "number": [0, 1, 0, 1], "hyperparameters": ["{a}", "{b}", "{a}", "{b}"], "status": "done",
    ...     "val_accuracy": [0.5, 0.8, 0.7, 0.6]}
    >>> table = calibrations(pd.DataFrame(rows), ["x"])
    >>> table[["dataset", "setting", "val_accuracy", "mean_val_accuracy", "rank"]].values.tolist()
    [['d', '{a}', 0.5, 0.6, 2.0], ['d', '{b}', 0.8, 0.7, 1.0], ['e', '{a}', 0.7, 0.6, 2.0], ['e', '{b}', 0.6, 0.7, 1.0]]
    """
    proposed = trials["algorithm"].isin(labels) & (trials["purpose"] == "tuning") & trials["hyperparameters"].notna()
    rows = trials[proposed]
    if rows.empty:
        return pd.DataFrame(columns=COLUMNS)
    done = rows["status"] == "done"
    rows = rows.assign(reached=pd.to_numeric(rows["val_accuracy"]).where(done), not_done=(~done).astype("int64"))
    # Not by group, because a proposal is one setting for all workloads of the sweep.
    judged = rows.groupby(_PROPOSAL, sort=False, observed=True).agg(mean_val_accuracy=("reached", "mean"), not_done=("not_done", "sum"))
    # The earliest of equal proposals is chosen, as in the tuner.
    able = judged["mean_val_accuracy"].where(judged["not_done"] == 0)
    judged["rank"] = able.groupby(["algorithm", "study"], sort=False, observed=True).rank(ascending=False, method="first")
    keys = [*GROUP, *_PROPOSAL]
    own = rows.groupby(keys, sort=False, observed=True).agg(setting=("hyperparameters", "first"), val_accuracy=("reached", "mean"))
    table = own.reset_index().merge(judged.reset_index(), on=_PROPOSAL, validate="many_to_one")
    return table.astype({"number": "int64"})[COLUMNS]
