"""A single trial on real digits: its measurements, its possible outcomes, and exact resumption after an interruption."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from agd_bench import cost, plugins
from agd_bench.errors import DatasetError, ExecutorError, OutOfMemory, UnknownNameError
from agd_bench.records import Trial, TrialResult
from agd_bench.training import checkpoints, loop
from agd_bench.trial import Workplace, provenance, run_trial
from tests.plugin_folders import write_plugins


@pytest.fixture
def workplace(tmp_path: Path) -> Workplace:
    """Return a CPU workplace with the tests' plug-ins and a folder for checkpoints."""
    folders = cast("dict[plugins.Kind, tuple[Path, ...]]", write_plugins(tmp_path / "plugins"))
    return Workplace(data_root=tmp_path, folders=folders, device="cpu", checkpoints=tmp_path / "checkpoints", checkpoint_seconds=1e9)


def trial(**changes: Any) -> Trial:
    """Return a short trial of a small network on a tenth of the digits."""
    asked = {
        "search_space": "tiny",
        "search_space_label": "tiny",
        "architecture": "small",
        "dataset": "digits",
        "dataset_share": 0.1,
        "algorithm": "plain",
        "algorithm_label": "plain",
        "epochs": 4,
        "batch_size": 32,
        "seed": 3,
    }
    return Trial.model_validate({**asked, **changes})


def test_a_checkpoint_that_cannot_be_written_costs_the_checkpoint_alone(
    workplace: Workplace, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """If a checkpoint cannot be written, the training still finishes normally, and the reason is logged."""
    (tmp_path / "checkpoints").write_text("a file where a folder should be")
    ended = run_trial(trial(), dataclasses.replace(workplace, checkpoint_seconds=0.0))
    undisturbed = run_trial(trial(), dataclasses.replace(workplace, checkpoints=None))
    assert (ended.status, ended.test_accuracy) == ("done", undisturbed.test_accuracy)
    assert "checkpoint cannot be written" in caplog.text


def test_what_an_image_costs_is_counted_once_for_seeds_of_a_network(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    """FLOPs are counted once per process for all seeds, and again for another architecture, algorithm, option or batch size."""
    counted, count = [], cost.count_flops

    def note(*given: Any) -> cost.Flops:
        counted.append(given)
        return count(*given)

    monkeypatch.setattr(cost, "count_flops", note)
    monkeypatch.setattr("agd_bench.trial.measurements._COUNTED", {})
    given: dict[str, Any] = {
        "search_space": "fcn",
        "architecture": "2x8",
        "search_space_options": {"size": 8},
        "epochs": 1,
        "algorithm": "sgd",
    }
    results = [run_trial(trial(**given, seed=seed), workplace) for seed in (1, 2)]
    assert len(counted) == 1
    assert results[0].forward_flops == results[1].forward_flops == 2 * (64 * 8 + 8 * 10)
    assert results[0].flops == results[1].flops
    changes: list[dict[str, Any]] = [
        {"architecture": "3x8"},
        {"algorithm": "agd"},
        {"search_space_options": {"size": 4}},
        {"batch_size": 9},
    ]
    for number, change in enumerate(changes, 2):
        run_trial(trial(**{**given, **change}), workplace)
        assert len(counted) == number


NETWORKS = {
    "weight_norm": "nn.Sequential(nn.Flatten(), P.weight_norm(nn.Linear(64, 10, bias=False)))",
    "spectral_norm": "nn.Sequential(nn.Flatten(), P.spectral_norm(nn.Linear(64, 10, bias=False)))",
    "parameters": "Queries()",
    "fourier": "nn.Sequential(Fourier(), nn.Flatten(), nn.Linear(64, 10, bias=False))",
}
SPACE = f'''"""Networks that measure badly. The developers of agd-bench, 2026."""
import torch
from torch import nn
from torch.nn.utils import parametrizations as P

class Queries(nn.Module):
    def __init__(self):
        super().__init__()
        self.query, self.norm, self.head = nn.Parameter(torch.randn(4, 8)), nn.LayerNorm(8), nn.Linear(32, 10, bias=False)
    def forward(self, images):
        return self.head((self.norm(self.query) @ images[:, 0].transpose(1, 2)).flatten(1))

class Fourier(nn.Module):
    def forward(self, images):
        return torch.fft.fft2(images).abs()

def sample(rng):
    return "weight_norm"
def build(architecture, in_channels, num_classes):
    return eval({NETWORKS!r}[architecture])
'''


@pytest.fixture
def hard_to_measure(tmp_path: Path, workplace: Workplace) -> Workplace:
    """Return a workplace with the search space `hard`."""
    (tmp_path / "hard").mkdir()
    (tmp_path / "hard" / "hard.py").write_text(SPACE)
    spaces = (*workplace.folders["search_spaces"], tmp_path / "hard")
    return dataclasses.replace(workplace, folders={**workplace.folders, "search_spaces": spaces})


@pytest.mark.parametrize("architecture", NETWORKS)
def test_a_measurement_ends_no_trial(hard_to_measure: Workplace, architecture: str) -> None:
    """A trial succeeds even if its FLOPs cannot be counted; the value is then None, with a reason."""
    asked = trial(search_space="hard", architecture=architecture, epochs=1, profile="as-published", algorithm="sgd")
    result = run_trial(asked, hard_to_measure)
    assert (result.status, result.reason) == ("done", "")
    counted = architecture != "fourier"
    assert (result.flops is not None, result.forward_flops is not None) == (counted, counted)
    assert ("aten._fft_c2c" in result.provenance.get("flops_not_counted", "")) != counted


def test_readings_that_fail_are_missing_with_a_reason(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Failed readings of memory or provenance are left out with a reason, and the trial succeeds."""

    def fail(device: torch.device) -> None:
        raise RuntimeError("not supported here")

    for module, name in ((cost, "reset_peak_memory"), (cost, "peak_memory_bytes"), (provenance, "surroundings")):
        monkeypatch.setattr(module, name, fail)
    result = run_trial(trial(epochs=1), workplace)
    assert (result.status, result.peak_memory_bytes) == ("done", None)
    assert result.provenance["memory_not_measured"] == result.provenance["provenance_not_read"] == "RuntimeError: not supported here"


TIMINGS = {"train_seconds", "total_seconds", "resumed_epoch"}


def measured(result: TrialResult) -> dict[str, Any]:
    """Return a result without the fields that depend on the clock or on interruptions."""
    content = result.model_dump(exclude=TIMINGS)
    for point in content["curve"]:
        del point["train_seconds"]
    return content


def test_a_trial_measures_what_it_says(workplace: Workplace) -> None:
    """The numbers of a finished trial agree with values worked out by hand."""
    result = run_trial(trial(), workplace)
    assert (result.status, result.reason) == ("done", "")
    assert [point.epoch for point in result.curve] == [1, 2, 3, 4]
    assert result.curve[-1].val_accuracy == result.val_accuracy
    assert result.curve[-1].train_loss < result.curve[0].train_loss
    assert result.test_accuracy is not None
    assert 0.1 < result.test_accuracy <= 1
    # matrix-only: 8 kernels of 3 x 3 and a 32 x 10 matrix, no biases and no batch-norm scales
    assert result.parameters == 8 * 9 + 32 * 10
    assert result.forward_flops == 2 * (8 * 9 * 3 * 3 + 32 * 10)
    assert result.peak_memory_bytes is None
    assert result.energy_joules is None
    assert 0 < result.train_seconds < result.total_seconds
    assert result.provenance["torch"] == torch.__version__
    assert result.provenance["threads"] == "1"
    assert (result.provenance["precision"], result.provenance["memory_format"]) == ("float32", "channels_last")
    assert result.provenance["step"] == "eager"


def test_the_profile_decides_which_parameters_there_are(workplace: Workplace) -> None:
    """The as-published profile includes biases and scales in the parameter count."""
    result = run_trial(trial(profile="as-published", epochs=1), workplace)
    assert result.parameters == 8 * 9 + 8 + 2 * 8 + 32 * 10 + 10


def test_equal_trials_measure_the_same_and_seeds_differ(workplace: Workplace) -> None:
    """Initialisation, order, augmentation and dropout depend on the seed alone."""
    first = measured(run_trial(trial(), workplace))
    torch.manual_seed(1234)  # the state of the global generator must not matter
    assert measured(run_trial(trial(), workplace)) == first
    assert measured(run_trial(trial(seed=4), workplace)) != first


def test_the_callers_generator_and_threads_are_left_alone(workplace: Workplace) -> None:
    """A trial does not change the caller's random generator or number of threads."""
    threads = torch.get_num_threads()
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    run_trial(trial(epochs=1), workplace)
    assert torch.equal(torch.rand(3), expected)
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("algorithm", ["plain", "agd", "nadamw", "sgd_tuned"])
def test_a_resumed_training_is_the_undisturbed_one(workplace: Workplace, algorithm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A trial that is interrupted and resumed gives exactly the same results as an undisturbed one."""
    proposal = {"learning_rate": 0.1, "one_minus_momentum": 0.1, "weight_decay": 1e-6, "end_factor": 1e-2}
    asked = trial(algorithm=algorithm, proposal=proposal if algorithm == "sgd_tuned" else None)
    undisturbed = run_trial(asked, dataclasses.replace(workplace, checkpoints=None))
    saving = dataclasses.replace(workplace, checkpoint_seconds=0.0)
    original = checkpoints.save

    def save_and_die(folder: Path, attempt: int, epoch: int, state: dict[str, Any]) -> None:
        original(folder, attempt, epoch, state)
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoints, "save", save_and_die)
    for attempt in (1, 2):
        with pytest.raises(KeyboardInterrupt):
            run_trial(asked, saving, attempt=attempt)
    monkeypatch.undo()
    resumed = run_trial(asked, saving, attempt=3)
    assert resumed.resumed_epoch == 2
    assert measured(resumed) == measured(undisturbed)


def test_an_architecture_with_a_defect_is_refused(workplace: Workplace) -> None:
    """A defective architecture gives a refused result with a reason, not a crash."""
    result = run_trial(trial(architecture="dead"), workplace)
    assert (result.status, result.reason) == ("refused", "no path")
    assert result.test_accuracy is None


def test_agd_refuses_what_it_is_not_defined_for(workplace: Workplace) -> None:
    """AGD refuses the biases of the as-published profile."""
    result = run_trial(trial(algorithm="agd", profile="as-published"), workplace)
    assert result.status == "refused"
    assert "matrix-only" in result.reason


def test_divergence_keeps_the_curve_and_carries_no_nan(workplace: Workplace) -> None:
    """A diverged trial has a status, a reason and only finite values."""
    result = run_trial(trial(algorithm="exploding"), workplace)
    assert result.status == "diverged"
    assert "not finite" in result.reason
    assert result.test_accuracy is None


def test_an_algorithm_that_raises_fails_its_trial_alone(workplace: Workplace) -> None:
    """The reason has the error and its line in the plug-in, but no local paths."""
    result = run_trial(trial(algorithm="raising"), workplace)
    assert result.status == "failed"
    assert result.reason.startswith("RuntimeError: planned trouble (raising.py:")
    assert str(workplace.data_root) not in result.reason


def test_out_of_memory_is_the_schedulers_to_handle(workplace: Workplace) -> None:
    """Out-of-memory errors are raised, because the scheduler decides whether to retry the trial alone."""
    with pytest.raises(OutOfMemory, match="planned"):
        run_trial(trial(algorithm="starving"), workplace)


def test_a_deadline_ends_a_trial_between_two_steps(workplace: Workplace) -> None:
    """A trial past its deadline fails with that reason."""
    result = run_trial(trial(), workplace, seconds_left=0.0)
    assert (result.status, result.reason) == ("failed", "longer than its deadline")


def test_a_trial_under_the_median_is_pruned_and_charged(workplace: Workplace) -> None:
    """A trial stops after an epoch if its best accuracy is below the threshold; its cost is still recorded."""
    result = run_trial(trial(stop_below={2: 1.1}), workplace)
    assert result.status == "pruned"
    assert len(result.curve) == 2
    assert result.flops is not None
    assert result.flops > 0
    last = run_trial(trial(stop_below={4: 1.1}), workplace)
    assert last.status == "done", "after the last epoch there is nothing left to save"


def test_what_every_trial_would_meet_is_raised(workplace: Workplace) -> None:
    """Errors that would affect every trial, such as an unknown plug-in or a missing GPU, are raised to stop the sweep."""
    with pytest.raises(UnknownNameError):
        run_trial(trial(algorithm="plian"), workplace)
    if not torch.cuda.is_available():
        with pytest.raises(ExecutorError, match="no GPU"):
            run_trial(trial(), dataclasses.replace(workplace, device="cuda"))


def test_a_missing_data_set_says_how_to_get_it(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the folder and AGD_BENCH_DATA."""
    import urllib.error
    import urllib.request

    def no_network(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no network in tests")

    monkeypatch.setattr(urllib.request, "urlopen", no_network)
    with pytest.raises(DatasetError, match="AGD_BENCH_DATA"):
        run_trial(trial(dataset="cifar10"), workplace)


@pytest.mark.parametrize(
    ("kind", "file", "old", "new", "said"),
    [
        (
            "search_spaces",
            "tiny",
            "    return nn.Sequential",
            "    made = nn.Sequential",
            "build() of the search space 'tiny' returned NoneType",
        ),
        ("algorithms", "plain", "    return network", "    return 7", "prepare() of the algorithm 'plain' returned int"),
    ],
)
def test_what_is_no_network_is_said(workplace: Workplace, kind: plugins.Kind, file: str, old: str, new: str, said: str) -> None:
    """A plug-in that does not return a network fails the trial with a reason that names the function and the returned type."""
    path = workplace.folders[kind][0] / f"{file}.py"
    path.write_text(path.read_text().replace(old, new, 1))
    result = run_trial(trial(), workplace)
    assert (result.status, result.reason) == ("failed", f"{said}, not a torch.nn.Module; is a return statement missing?")


def test_another_loss_is_another_training(workplace: Workplace) -> None:
    """The sweep's `loss` replaces the algorithm's own."""
    own = run_trial(trial(epochs=1), workplace)
    square = run_trial(trial(epochs=1, loss="square"), workplace)
    assert own.train_loss != square.train_loss


def test_bfloat16_trains_too(workplace: Workplace) -> None:
    """Training succeeds with forward and backward passes in bfloat16, and weights and AGD's norms in float32."""
    result = run_trial(trial(algorithm="agd", precision="bfloat16"), workplace)
    assert result.status == "done"


def test_epoch_seeds_do_not_collide() -> None:
    """No two epochs of trials with small seeds have the same seed."""
    seeds = {loop.seed_of_epoch(seed, epoch) for seed in range(50) for epoch in range(1, 500)}
    assert len(seeds) == 50 * 499


def test_measuring_the_network_changes_nothing_but_what_is_recorded(workplace: Workplace) -> None:
    """Diagnostics at log-spaced steps leave the training bitwise unchanged, and their time is not counted as training time."""
    plain = run_trial(trial(), dataclasses.replace(workplace, checkpoints=None))
    watched = run_trial(trial(diagnostics=("network",)), dataclasses.replace(workplace, checkpoints=None))
    without = [point.model_copy(update={"diagnostics": {}}) for point in watched.curve]
    assert measured(watched.model_copy(update={"curve": tuple(without)})) == measured(plain)
    assert watched.trial_id == plain.trial_id
    names = [name for point in watched.curve for name in point.diagnostics]
    assert len(set(names)) == len(names)
    assert {int(name.split("@")[1].split("/")[0]) for name in names if not name.startswith("charge")} == {0, 1, 2, 5, 10}
    charged = [value for point in watched.curve for name, value in point.diagnostics.items() if name.startswith("charge")]
    assert charged == sorted(charged)
    assert watched.train_seconds + charged[-1] < watched.total_seconds


def test_the_start_alone_can_be_measured(workplace: Workplace) -> None:
    """`network-start` measures only the blocks' spectra before the first step, and nothing in tuning trials."""
    result = run_trial(trial(diagnostics=("network-start",), epochs=1), workplace)
    names = [name for name in result.curve[0].diagnostics if not name.startswith("charge")]
    assert {name.split(".")[0] for name in names} == {"block"}
    assert {name.split("@")[1].split("/")[0] for name in names} == {"0"}
    tuning = run_trial(trial(diagnostics=("network-start",), epochs=1, purpose="tuning"), workplace)
    assert not tuning.curve[0].diagnostics
