"""Train published trials again and record what came out. Executes the code of the audited plug-ins."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from agd_bench import api
from agd_bench.errors import InputError
from agd_bench.leaderboard.audits import FOLDER, band_of, draw_trials, judge, noise_bands, outcome_of, rows_by_id
from agd_bench.planning.planner import Folders, folders_of
from agd_bench.records import Trial
from agd_bench.records.audit import Audit, Outcome, Rerun
from agd_bench.store import Results, load_results, written_beside

# what has to be equal for equal numbers; the rest of the provenance, such as the revision, follows from these
SAME = ("engine_digest", "algorithm_digest", "search_space_digest", "dataset_digest", "torch", "device", "threads", "step")


def audit(
    folder: Path,
    algorithm: str,
    share: float,
    seed: int,
    *,
    by: str = "",
    device: str = "auto",
    folders: Folders | None = None,
    inform: Callable[[str], None] | None = None,
) -> Path:
    """Train a random sample of an algorithm's published trials again, and write the record into the folder.

    The folder's manifest is not renewed: write the board anew, or publish the folder again, to vouch for the record.

    Args:
        folder: a board or another published folder.
        algorithm: label of the algorithm or entry.
        share: of its trained final trials, in (0, 1].
        seed: of the draw.
        by: who audits.
        device: `cpu`, `cuda` or `auto`.
        folders: further folders of plug-ins, by kind.
        inform: receives a line for each rerun.

    Returns:
        The record.

    Raises:
        InputError: nothing to draw, a trial that this version plans otherwise, or a plug-in that cannot be loaded.
    """
    from agd_bench.datasets import data_root
    from agd_bench.trial import Workplace, run_trial

    results = load_results(folder)
    drawn = draw_trials(results, algorithm, share, seed)
    workplace = Workplace(data_root(), folders_of(results.sweep, folders), device=device, exclusive=True)
    rows, bands = rows_by_id(results), noise_bands(results, algorithm, len(drawn))
    reruns: list[Rerun] = []
    provenance: dict[str, str] = {}
    for trial in _trials(results, algorithm, drawn, folders):
        row = rows[trial.id]
        found = run_trial(trial, workplace)
        ended = Outcome.model_validate({name: getattr(found, name) for name in Outcome.model_fields})
        published, same = outcome_of(row), _is_same(results, trial.id, found.provenance)
        verdict = judge(published, ended, same, band_of(row, bands))
        reruns.append(Rerun(trial_id=trial.id, published=published, found=ended, same=same, band=band_of(row, bands), verdict=verdict))
        provenance |= found.provenance
        if inform is not None:
            inform(f"{trial.architecture}, seed {trial.seed}: {_shown(published)}, now {_shown(ended)}: {verdict}")
    record = Audit(
        algorithm=algorithm,
        share=share,
        seed=seed,
        date=datetime.now(UTC).date().isoformat(),
        by=by,
        provenance=provenance,
        reruns=tuple(reruns),
    )
    name = f"{algorithm}-{record.date}-seed-{seed}.json"
    with written_beside(folder / FOLDER) as beside:
        (beside / name).write_text(json.dumps(record.model_dump(mode="json"), indent=1) + "\n", encoding="utf-8", newline="\n")
    return folder / FOLDER / name


def _trials(results: Results, algorithm: str, drawn: list[str], folders: Folders | None) -> list[Trial]:
    """The drawn trials as this version plans them, with the hyperparameters that were published for tuned ones.

    Raises:
        InputError: one is not planned any more.
    """
    planned = {trial.id: trial for trial in api.plan(results.sweep, folders).all_trials}
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
