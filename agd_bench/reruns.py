"""Train published trials again and record what came out. Executes the code of the audited plug-ins."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from agd_bench import api
from agd_bench.errors import InputError
from agd_bench.leaderboard.audits import FOLDER, band_of, draw_trials, judge, noise_bands, outcome_of, rows_by_id
from agd_bench.planning.planner import Folders, folders_of
from agd_bench.records import Trial
from agd_bench.records.audit import Audit, Outcome, Rerun
from agd_bench.store import Results, load_results, written_beside

if TYPE_CHECKING:
    from agd_bench.trial import Workplace

# what has to be equal for equal numbers; the rest of the provenance, such as the revision, follows from these
SAME = ("engine_digest", "algorithm_digest", "search_space_digest", "dataset_digest", "torch", "device", "threads", "step")


def audit(
    folder: Path,
    algorithms: Sequence[str],
    share: float,
    seed: int,
    *,
    by: str = "",
    note: str = "",
    device: str = "auto",
    folders: Folders | None = None,
    inform: Callable[[str], None] | None = None,
) -> list[Path]:
    """Train a random sample of the published trials of each algorithm again, and write the records into the folder.

    The folder's manifest is not renewed: write the board anew, or publish the folder again, to vouch for the records.

    Args:
        folder: a board or another published folder.
        algorithms: labels of the algorithms or entries; each gets its own sample and record.
        share: of the trained final trials of each, in (0, 1].
        seed: of the draw.
        by: who audits.
        note: for readers of the record.
        device: `cpu`, `cuda` or `auto`.
        folders: further folders of plug-ins, by kind.
        inform: receives a line for each rerun.

    Returns:
        The records.

    Raises:
        InputError: nothing to draw, a trial that this version plans otherwise, or a plug-in that cannot be loaded.
    """
    from agd_bench.datasets import data_root
    from agd_bench.trial import Workplace

    results = load_results(folder)
    drawn = {label: draw_trials(results, label, share, seed) for label in algorithms}
    workplace = Workplace(data_root(), folders_of(results.sweep, folders), device=device, exclusive=True)
    planned = {trial.id: trial for trial in api.plan(results.sweep, folders).all_trials}
    stated = {"share": share, "seed": seed, "date": datetime.now(UTC).date().isoformat(), "by": by, "note": note}
    records = []
    for label, names in drawn.items():
        reruns, provenance = _rerun(results, label, _as_published(results, label, names, planned), workplace, inform)
        record = Audit.model_validate(stated | {"algorithm": label, "provenance": provenance, "reruns": reruns})
        # at once, so that an interruption loses one algorithm's reruns at most
        with written_beside(folder / FOLDER) as beside:
            path = beside / f"{label}-{record.date}-seed-{seed}.json"
            path.write_text(json.dumps(record.model_dump(mode="json"), indent=1) + "\n", encoding="utf-8", newline="\n")
        records.append(folder / FOLDER / path.name)
    return records


def _rerun(
    results: Results, algorithm: str, trials: list[Trial], workplace: Workplace, inform: Callable[[str], None] | None
) -> tuple[tuple[Rerun, ...], dict[str, str]]:
    """Train an algorithm's trials again, compare them with their rows, and return the provenance too."""
    from agd_bench.trial import run_trial

    rows, bands = rows_by_id(results), noise_bands(results, algorithm, len(trials))
    reruns: list[Rerun] = []
    provenance: dict[str, str] = {}
    for trial in trials:
        row = rows[trial.id]
        found = run_trial(trial, workplace)
        ended = Outcome.model_validate({name: getattr(found, name) for name in Outcome.model_fields})
        published, same, band = outcome_of(row), _is_same(results, trial.id, found.provenance), band_of(row, bands)
        verdict = judge(published, ended, band)
        reruns.append(Rerun(trial_id=trial.id, published=published, found=ended, same=same, band=band, verdict=verdict))
        provenance |= found.provenance
        if inform is not None:
            inform(f"{algorithm}, {trial.architecture}, seed {trial.seed}: {_shown(published)}, now {_shown(ended)}: {verdict}")
    return tuple(reruns), provenance


def _as_published(results: Results, algorithm: str, drawn: list[str], planned: Mapping[str, Trial]) -> list[Trial]:
    """The drawn trials as this version plans them, with the hyperparameters that were published for tuned ones.

    Raises:
        InputError: one is not planned any more.
    """
    settings = results.trials.set_index("trial_id")["hyperparameters"]
    missing = [name for name in drawn if name not in planned]
    if missing:
        raise InputError(f"{algorithm}: trial {missing[0]} is not planned by this version of agd-bench; use the version that trained it")
    trials = []
    for name in drawn:
        trial = planned[name]
        # a study's choice is published with the final trials; tuning is not repeated
        proposal = {key: value for key, value in json.loads(settings[name]).items() if key not in trial.hyperparameters}
        trials.append(trial.model_copy(update={"proposal": proposal, "diagnostics": ()}) if trial.study else trial)
    return trials


def _is_same(results: Results, trial_id: str, provenance: dict[str, str]) -> bool:
    """Whether a rerun had the code and device of the published row."""
    texts = results.attempts.loc[results.attempts["trial_id"] == trial_id, "provenance"].dropna()
    stated = json.loads(texts.iloc[-1]) if len(texts) else {}
    return all(key in stated and stated[key] == provenance.get(key) for key in SAME)


def _shown(outcome: Outcome) -> str:
    accuracy = outcome.test_accuracy
    return outcome.status if accuracy is None or math.isnan(accuracy) else f"{100 * accuracy:.2f} %"
