"""Track which code made each row, and find runs that mix results of different code."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from agd_bench.identity import gives_equal_results
from agd_bench.records import Plan, canonical_json
from agd_bench.store.results import Results

# keys of the meta data: the code of the plug-ins now, of earlier rows by name, and of attempts without an identity
DIGESTS, EARLIER, FIRST = "plugin_digests", "earlier_digests", "first_digests"
# earlier code known to give the same rows, and earlier code whose rows the user accepted
EQUAL, MIXED = "equal", "mixed"
PARTS = {"search_spaces": "search_space_digest", "datasets": "dataset_digest", "algorithms": "algorithm_digest"}
"""Key of the provenance by kind of plug-in."""
# only the provenance of attempts states these: several versions of them may meet in one run, and reports say so
PLATFORM = {"engine_digest": "agd-bench's training code", "torch": "torch"}


def changed_code(meta: Mapping[str, str], plan: Plan) -> list[str]:
    """Return the plug-ins, as `KIND/NAME`, whose code has changed since a run and is not known to give equal results.

    Args:
        meta: the run's meta data.
        plan: of the current sweep, with the digests of the current code.
    """
    then: dict[str, str] = json.loads(meta.get(DIGESTS, "{}"))
    both = sorted(then.keys() | plan.plugin_digests.keys())
    pairs = [(name, then.get(name, ""), plan.plugin_digests.get(name, "")) for name in both]
    # a plug-in that only one of them has is no former version of anything
    return [name for name, old, new in pairs if old != new and not (old and new and gives_equal_results(name, old, new))]


def code_meta(metas: Sequence[Mapping[str, str]], plan: Plan) -> dict[str, str]:
    """Return the meta data that declare the code of merged runs.

    Args:
        metas: meta data of the runs that are merged.
        plan: of the current sweep, with the digests of the current code.
    """
    earlier: dict[str, dict[str, str]] = {}
    for meta in metas:
        changed = changed_code(meta, plan)
        before: dict[str, dict[str, str]] = json.loads(meta.get(EARLIER, "{}"))
        then: dict[str, str] = json.loads(meta.get(DIGESTS, "{}"))
        for name, digest in then.items():
            known = {**before.get(name, {}), digest: EQUAL}
            # equality was with the previous code: once that changed, no earlier code is known to equal the current one
            known = dict.fromkeys(known, MIXED) if name in changed else known
            # code that was changed back is the current code again
            known = {old: word for old, word in known.items() if old != plan.plugin_digests.get(name)}
            earlier |= {name: earlier.get(name, {}) | known} if known else {}
    return {DIGESTS: canonical_json(plan.plugin_digests)} | ({EARLIER: canonical_json(earlier)} if earlier else {})


def united_code(metas: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Return the meta data that declare the code of runs that are read as one. The newest code of each plug-in counts as the current one.

    Args:
        metas: meta data of the runs, the oldest first.
    """
    present: dict[str, str] = {}
    for meta in metas:
        present |= json.loads(meta.get(DIGESTS, "{}"))
    earlier: dict[str, dict[str, str]] = {}
    for meta in metas:
        then: dict[str, str] = json.loads(meta.get(DIGESTS, "{}"))
        for name, digest in then.items():
            is_equal = digest == present[name] or gives_equal_results(name, digest, present[name])
            before: dict[str, str] = json.loads(meta.get(EARLIER, "{}")).get(name, {})
            known = {old: word if is_equal else MIXED for old, word in before.items()} | {digest: EQUAL if is_equal else MIXED}
            known = {old: word for old, word in known.items() if old != present[name]}
            earlier |= {name: earlier.get(name, {}) | known} if known else {}
    return {DIGESTS: canonical_json(present)} | ({EARLIER: canonical_json(earlier)} if earlier else {})


def state_code(results: Results) -> Results:
    """Add the identity of the code to each attempt's provenance that has none, as the run declares it."""
    attempts = results.attempts
    known = attempts["provenance"].notna()
    named = _plugins_of(results, attempts[known])
    if named.empty:
        return results
    first = _first(results.meta)
    # once per distinct value: there are many attempts but few provenances, and parsing JSON is slow
    texts = {}
    for row in named.drop_duplicates().itertuples(index=False):
        said = json.loads(str(row.provenance))
        # attempts of older versions have no identity; after a merge, it would be unknown which run declared theirs
        missing = {key: first[name] for key, name in zip(PARTS.values(), row[1:], strict=True) if key not in said and name in first}
        texts[row] = canonical_json(said | missing) if missing else row.provenance
    stated = attempts["provenance"].astype(object)
    stated[known] = [texts[row] for row in named.itertuples(index=False)]
    return replace(results, attempts=attempts.assign(provenance=stated.astype("str")))


def executed_code(results: Results) -> pd.DataFrame:
    """Count the trials by the code that made them.

    Returns:
        One row per part and identity: `part` (`KIND/NAME`, `engine_digest` or `torch`), `code` (its identity or version), `trials` (whose
        last attempt it executed). Code that is known to give equal results counts as the current one. Lost attempts, and trials that
        took an equal network's results, do not count.
    """
    # attempts are sorted by number; lost ones have no provenance
    last = results.attempts.dropna(subset=["provenance"]).drop_duplicates("trial_id", keep="last")
    named = _plugins_of(results, last)
    said = {text: json.loads(text) for text in named["provenance"].unique()}
    first, present = _first(results.meta), json.loads(results.meta.get(DIGESTS, "{}"))
    earlier: dict[str, dict[str, str]] = json.loads(results.meta.get(EARLIER, "{}"))
    frames = []
    for key, part in [*((key, named[kind]) for kind, key in PARTS.items()), *((key, pd.Series(key, named.index)) for key in PLATFORM)]:
        stated = named["provenance"].map({text: one.get(key) for text, one in said.items()}).astype(object)
        # PLATFORM parts are not in `first`: rows that do not state them drop out
        frames.append(pd.DataFrame({"part": part, "code": stated.where(stated.notna(), part.map(first))}).dropna())
    counts = pd.concat(frames).value_counts().rename("trials").reset_index()
    is_equal = [earlier.get(part, {}).get(code) == EQUAL for part, code in zip(counts["part"], counts["code"], strict=True)]
    counts["code"] = counts["code"].mask(pd.Series(is_equal, dtype=bool), counts["part"].map(present))
    return counts.groupby(["part", "code"])["trials"].sum().reset_index()


def mixed_code(results: Results) -> list[str]:
    """Return one sentence per part of which results of several versions are mixed."""
    lines = []
    for part, rows in executed_code(results).groupby("part"):
        if len(rows) > 1:
            what = PLATFORM.get(str(part)) or f"the code of {part}"
            counts = ", ".join(f"{row.code} ({row.trials} trials)" for row in rows.itertuples())
            lines.append(f"Results of {len(rows)} versions of {what} are mixed: {counts}.")
    return lines


def undeclared_code(results: Results) -> list[str]:
    """Return one line per code that made rows but is not declared by the run."""
    present: dict[str, str] = json.loads(results.meta.get(DIGESTS, "{}"))
    return [
        f"{row.trials} trials were executed by code {row.code} of {row.part}, but the run declares {present[str(row.part)]}"
        for row in _undeclared(results).itertuples()
    ]


def declared_meta(results: Results) -> dict[str, str]:
    """Return the meta data of a run with all the code declared that made its rows."""
    earlier: dict[str, dict[str, str]] = json.loads(results.meta.get(EARLIER, "{}"))
    for row in _undeclared(results).itertuples():
        earlier.setdefault(str(row.part), {})[str(row.code)] = MIXED
    return results.meta | ({EARLIER: canonical_json(earlier)} if earlier else {})


def _undeclared(results: Results) -> pd.DataFrame:
    present: dict[str, str] = json.loads(results.meta.get(DIGESTS, "{}"))
    earlier: dict[str, dict[str, str]] = json.loads(results.meta.get(EARLIER, "{}"))
    counts = executed_code(results)
    # parts that the run does not declare, such as torch, cannot be undeclared
    known = [part not in present or code in (present[part], *earlier.get(part, {})) for part, code in counts[["part", "code"]].to_numpy()]
    return counts[~np.array(known, dtype=bool)]


def _first(meta: Mapping[str, str]) -> dict[str, str]:
    """Return the code of attempts without an identity, by `KIND/NAME`."""
    # without FIRST the code never changed, so the current code made those rows too
    found: dict[str, str] = json.loads(meta.get(FIRST, meta.get(DIGESTS, "{}")))
    return found


def _plugins_of(results: Results, attempts: pd.DataFrame) -> pd.DataFrame:
    """Return `provenance` and the plug-ins as `KIND/NAME`, in the order of `PARTS`, one row per attempt."""
    spaces = {choice.label: choice.name for choice in results.sweep.search_spaces}
    datasets = {choice.label: choice.name for choice in results.sweep.datasets}
    trials = results.trials.set_index("trial_id")
    trials = trials[~trials.index.duplicated()].reindex(attempts["trial_id"])
    names = {"search_spaces": trials["search_space"].map(spaces), "datasets": trials["dataset"].map(datasets)}
    names["algorithms"] = trials["algorithm_name"]
    named = {kind: (f"{kind}/" + column.astype("str")).array for kind, column in names.items()}
    return pd.DataFrame({"provenance": attempts["provenance"].array, **named})
