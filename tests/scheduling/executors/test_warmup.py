"""Processes warm up, so that their first trial is not charged for imports and loading data."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import torch

from agd_bench.scheduling.executors.worker import prepare
from agd_bench.scheduling.kinds import one_of_each
from agd_bench.trial import Workplace
from tests.plugin_folders import write_plugins
from tests.short_trials import trial

FIRST = """
import json, sys
from pathlib import Path
from agd_bench.scheduling.executors.worker import prepare
from agd_bench.training import data
from agd_bench.trial import Workplace, run_trial
from tests.short_trials import trial

place = Workplace(Path(sys.argv[1]), device="cpu")
prepare(place, None, [trial()] if sys.argv[2] == "warm" else [])
before, loaded = set(sys.modules), data._load_splits.cache_info().misses
result = run_trial(trial(epochs=1), place)
imported = sorted(set(sys.modules) - before)
print(json.dumps([result.status, imported, data._load_splits.cache_info().misses - loaded]))
"""


def first_trial(folder: Path, how: str) -> tuple[str, list[str], int]:
    """Return the status of a process's first trial, the modules it imported, and how often it loaded its data set."""
    done = subprocess.run([sys.executable, "-c", FIRST, str(folder), how], check=True, capture_output=True, text=True)
    status, imported, loads = json.loads(done.stdout)
    return status, imported, loads


def test_the_first_trial_of_a_process_imports_nothing_and_loads_nothing(tmp_path: Path) -> None:
    """Without warming up, whichever algorithm comes first would be charged for a hundred imports and the data set."""
    cold, warm = first_trial(tmp_path, "cold"), first_trial(tmp_path, "warm")
    assert len(cold[1]) > 100
    assert cold[2] == 1
    assert warm == ("done", [], 0)


def test_one_trial_of_each_space_data_set_and_algorithm_is_enough() -> None:
    """Architectures and seeds do not matter for warming up."""
    trials = [trial(), trial(seed=1), trial(architecture="2x16"), trial(algorithm="sgd"), trial(dataset_share=0.2)]
    assert one_of_each(trials) == (trials[0], trials[3], trials[4])


def test_what_goes_wrong_is_left_to_the_trials_that_meet_it(tmp_path: Path) -> None:
    """Warming up ignores missing data sets and plug-ins, and does not change the random state."""
    folders = write_plugins(tmp_path / "plugins")
    place = Workplace(tmp_path, folders, device="cpu")  # type: ignore[arg-type]
    state = torch.get_rng_state()
    prepare(place, None, [trial(dataset="nowhere"), trial(algorithm="nobody"), trial(search_space="tiny", architecture="dead")])
    assert torch.equal(torch.get_rng_state(), state)
