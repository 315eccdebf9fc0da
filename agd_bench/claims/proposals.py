"""Default claims of a leaderboard: the same for every sweep, and fixed before any results are known."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

from agd_bench.claims.definitions import FILE, Claim, Claims, read_claims, share_level
from agd_bench.records import AlgorithmChoice, Sweep

# Shares in [0, 1], except the last, which is a ratio; fixed for every sweep before any results.
LEVEL = 0.95
POINTS_LOST = 0.02
POINTS_OF_REGRET = 0.01
COST_SAVED = 0.5


def propose_claims(sweep: Sweep) -> Claims:
    """Propose claims in every comparison group: the primary challenger loses little accuracy, changes the ranking, and chooses well.

    The primary challenger is the first algorithm of the sweep that is not the baseline. If the baseline is tuned and the challenger is
    not, a claim about charged cost is added.
    """
    # Only the sweep, no results: a claim must not be chosen by the outcome.
    spaces, datasets = ([choice.label for choice in choices] for choices in (sweep.search_spaces, sweep.datasets))
    groups = list(itertools.product(spaces, datasets, sweep.profiles))
    baseline = next(choice for choice in sweep.algorithms if choice.label == sweep.baseline_label)
    # Only one challenger, because each further claim would widen all intervals (Bonferroni).
    primary = [choice for choice in sweep.algorithms if choice.label != baseline.label][:1]
    drafts = [draft for group in groups for choice in primary for draft in _about(choice, baseline, group if len(groups) > 1 else None)]
    level = share_level(LEVEL, len(drafts))
    return Claims(level=LEVEL, claims=tuple(Claim.model_validate({**draft, "level": level}) for draft in drafts))


def find_claims(given: Path | None, located: Path | str, sweep: Sweep) -> Claims:
    """The claims about a run: from a given file, else from the folder's `claims.toml`, else the proposed ones.

    Args:
        given: a file of claims, or None.
        located: the run's folder, a published folder, or a database URL.
        sweep: what was asked.

    Raises:
        InputError: the file cannot be read or is invalid.
    """
    beside = located / FILE if isinstance(located, Path) else None
    if given is None and beside is not None and beside.is_file():
        # Hand-written claims about this run take precedence over proposals.
        given = beside
    return propose_claims(sweep) if given is None else read_claims(given)


def _about(choice: AlgorithmChoice, baseline: AlgorithmChoice, group: tuple[str, str, str] | None) -> list[dict[str, object]]:
    """Claims about one challenger; if a group is given, they name it."""
    ours, theirs = choice.label, baseline.label
    arguments = dict(zip(("search_space", "dataset", "profile"), group, strict=True)) if group else {}
    where = f" ({group[0]} on {group[1]}, {group[2]} networks)" if group else ""
    begin = "-".join([*(group or ()), ours])
    pair = {"baseline": theirs, "challenger": ours}
    drafts = [
        ("accuracy", f"{ours} loses at most {100 * POINTS_LOST:g} points of test accuracy against {theirs}",
         "accuracy_difference", pair, "above", -POINTS_LOST),
        ("ranking", f"{ours} ranks the architectures differently from {theirs}, by more than seed noise",
         "ranking_decision", pair, "below", 0.0),
        ("choice", f"choosing the best architecture by {ours} and training it by {theirs} loses at most {100 * POINTS_OF_REGRET:g} point "
         "of test accuracy", "transfer_regret", {"chosen_by": ours, "trained_by": theirs}, "below", POINTS_OF_REGRET),
    ]  # fmt: skip
    if baseline.tuning_trials and not choice.tuning_trials:  # otherwise its cost follows from the sweep
        said = f"{ours} is charged at most {COST_SAVED:g} times the floating-point operations of {theirs}, tuning included"
        drafts.append(("cost", said, "flops_ratio", pair, "below", COST_SAVED))
    return [
        {
            "id": re.sub(r"[^A-Za-z0-9._@-]", "-", f"{begin}-{what}"),
            "sentence": f"{sentence[0].upper() + sentence[1:] if what == 'choice' else sentence}{where}.",
            "query": query,
            "arguments": {**given, **arguments},
            "test": test,
            "threshold": threshold,
        }
        for what, sentence, query, given, test, threshold in drafts
    ]
