"""Captured steps give the same training as eager steps, bit for bit, although their Python code runs only once."""

from __future__ import annotations

import copy
import dataclasses
import gc
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from agd_bench.algorithms import adamw, agd, agd_operator, dsgd, dsgd_heuristic, lamb_tuned, muon, nadamw, nas_bench_201_sgd, sgd_constant
from agd_bench.errors import DeadlineExceeded
from agd_bench.optim import losses
from agd_bench.optim.averaging import Averaged
from agd_bench.training import cuda_graphs, loop
from agd_bench.training.cuda_graphs import WARM_UP_STEPS, Capture, GraphRecorder, capture_obstacle, capture_steps
from agd_bench.training.data import ImageSet, resident, steps_per_epoch
from agd_bench.training.fit import Fit
from agd_bench.training.profiles import apply_profile
from search_spaces import nas_bench_201
from tests.training.recording import TapeRecorder

CELL = "|nor_conv_3x3~0|+|skip_connect~0|nor_conv_1x1~1|+|avg_pool_3x3~0|none~1|skip_connect~2|"
COUNT, BATCH, EPOCHS = 90, 16, 3
STEPS = steps_per_epoch(COUNT, BATCH)
LAMB = {"learning_rate": 0.01, "one_minus_beta1": 0.1, "beta2": 0.99, "weight_decay": 0.01}
CPU = torch.device("cpu")


def images(device: torch.device | str = CPU, count: int = COUNT) -> ImageSet:
    """Return noise images with padding and flips; the default count gives five full batches and one of ten."""
    rng = np.random.default_rng(0)
    return resident(
        rng.integers(0, 256, (count, 3, 8, 8), dtype=np.uint8), rng.integers(0, 4, count), (0.5,) * 3, (0.25,) * 3, 1, device, True
    )


def cell() -> nn.Module:
    """Return a convolutional network with batch normalisation."""
    return nas_bench_201.build(CELL, 3, 4, channels=4, cells=1)


def dropping() -> nn.Module:
    """Return a network with dropout."""
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 4))


def fit(algorithm: Any, build: Callable[[], nn.Module] = cell, device: torch.device = CPU, **settings: Any) -> Fit:
    """Return a training that has not started yet."""
    torch.manual_seed(0)
    network = algorithm.prepare(apply_profile(build(), "matrix-only"), torch.Generator().manual_seed(0))
    network = network.to(device, memory_format=torch.channels_last)
    built = algorithm.build(network, EPOCHS * STEPS, **settings)
    optimizer, scheduler = built if isinstance(built, tuple) else (built, None)
    network.train()
    return Fit(network, optimizer, scheduler, algorithm.loss)


def train(one: Fit, split: ImageSet, first: int = 1, last: int = EPOCHS) -> list[tuple[float, float, float | None]]:
    """Train and return the loss, accuracy and learning rate of each epoch."""
    told = []
    for epoch in range(first, last + 1):
        loss, accuracy = loop.train_epoch(one, split, BATCH, loop.seed_of_epoch(7, epoch), augment=True)
        told.append((loss, accuracy, one.learning_rate()))
    return told


def everything(one: Fit) -> list[Tensor]:
    """Return the weights, running statistics and optimizer state."""
    states = [value for state in one.optimizer.state.values() for value in state.values()]
    return [*one.network.state_dict().values(), *(torch.as_tensor(value) for value in states)]


def assert_same(one: Fit, other: Fit, rtol: float = 0.0, atol: float = 0.0) -> None:
    """Assert that everything trained is equal, exactly unless a tolerance is given."""
    for found, expected in zip(everything(one), everything(other), strict=True):
        torch.testing.assert_close(found, expected, rtol=rtol, atol=atol)


class GoneRecorder(TapeRecorder):
    """A recorder that keeps no reference to the work, like a graph."""

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        """Return a replay that does nothing."""
        return lambda: None


class NeverCaptures(Capture):
    """A capture that never captures: steps read their numbers from the device like captured ones, but run eagerly."""

    def _one_step(self, size: int) -> bool:
        self._step(size)
        return False


CASES: dict[str, tuple[Any, dict[str, Any]]] = {
    "agd": (agd, {}),
    "sgd with momentum and cosine": (nas_bench_201_sgd, {}),
    "sgd": (sgd_constant, {"learning_rate": 0.1}),
    "adamw": (adamw, {}),
    "nadamw": (nadamw, {}),
    "dsgd_heuristic": (dsgd_heuristic, {}),
    "muon": (muon, {"learning_rate": 0.02, "adamw_learning_rate": 1e-3, "weight_decay": 0.01}),
}
AUTOMATIC = ("agd", "dsgd_heuristic")
"""Cases without numbers from the host."""


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", CASES)
def test_replayed_steps_train_what_eager_steps_train(name: str, precision: Literal["float32", "bfloat16"]) -> None:
    """Replayed and eager steps are bitwise equal over three epochs with crops, flips and a short last batch."""
    algorithm, settings = CASES[name]
    split, made = images(), []
    for kind in (Capture, NeverCaptures):
        one = fit(algorithm, **settings)
        one.precision = precision
        one.capture = kind(one, TapeRecorder())
        made.append((train(one, split), one))
    (replayed, one), (eager, other) = made
    assert replayed == eager
    assert_same(one, other)
    assert one.capture is not None
    assert one.capture.replays == EPOCHS * STEPS - WARM_UP_STEPS - 1  # the last batch warms up once


# Muon's bfloat16 iteration amplifies the rounding of a rate; tests/optim/test_muon.py compares one step.
@pytest.mark.parametrize("name", sorted(set(CASES) - {"muon"}))
def test_numbers_on_the_device_are_those_of_the_host(name: str) -> None:
    """Captured training matches the eager loop exactly if its rate is automatic, and otherwise up to rounding of rates to float32."""
    algorithm, settings = CASES[name]
    split, captured, plain = images(), fit(algorithm, **settings), fit(algorithm, **settings)
    captured.capture = Capture(captured, TapeRecorder())
    for found, expected in zip(train(captured, split), train(plain, split), strict=True):
        assert found == pytest.approx(expected, rel=1e-4, abs=0.03 if name not in AUTOMATIC else 0)
        assert found[2] == expected[2]
    assert captured.steps == plain.steps
    if name in AUTOMATIC:
        assert_same(captured, plain)
    ages = [[state.get("step") for state in one.optimizer.state.values()] for one in (captured, plain)]
    assert ages[0] == ages[1]


def test_lamb_is_captured_too() -> None:
    """LAMB can be captured, because it reads its bias corrections and learning rate on the device."""
    split = images()
    settings: dict[str, Any] = {name: value for name, value in LAMB.items() if name in lamb_tuned.RANGES}
    made = [fit(lamb_tuned, **settings) for _ in range(2)]
    made[0].capture = Capture(made[0], TapeRecorder())
    told = [train(one, split) for one in made]
    assert [found[0] for found in told[0]] == pytest.approx([found[0] for found in told[1]], rel=1e-3)


def chain() -> nn.Module:
    """Return a smooth fully connected network."""
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 16, bias=False), nn.Tanh(), nn.Linear(16, 4, bias=False))


@pytest.mark.parametrize(("algorithm", "build"), [(dsgd, chain), (dsgd_heuristic, cell)])
def test_numbers_that_an_optimizer_sums_up_go_on_in_replays(algorithm: Any, build: Callable[[], nn.Module]) -> None:
    """Updates of each layer, promised decreases and the largest image seen are those of eager steps."""
    made = [fit(algorithm, build) for _ in range(2)]
    made[0].capture = Capture(made[0], TapeRecorder())
    split = images()
    assert train(made[0], split) == train(made[1], split)
    assert_same(made[0], made[1])
    replayed, eager = (one.optimizer.param_groups[0] for one in made)
    assert int(replayed["moved"].sum()) == EPOCHS * STEPS
    for name, value in eager.items():
        if isinstance(value, Tensor) and name != "promised":
            assert torch.equal(replayed[name], value), name


@pytest.mark.parametrize("count", [96, 40, 17])
def test_epochs_of_any_length(count: int) -> None:
    """Epochs can have no short batch, fewer steps than the warm-up, or a single batch with one extra image."""
    split, made = images(count=count), []
    for recorder in (TapeRecorder(), None):
        one = fit(agd)
        one.capture = None if recorder is None else Capture(one, recorder)
        made.append((train(one, split), one))
    (found, one), (expected, other) = made
    assert found == expected
    assert_same(one, other)


def test_dropout_draws_what_it_draws_eagerly() -> None:
    """Dropout depends only on the seed of the epoch, in replays too."""
    split, made = images(), []
    for kind in (Capture, NeverCaptures):
        one = fit(adamw, dropping)
        one.capture = kind(one, TapeRecorder())
        made.append(train(one, split))
    assert made[0] == made[1]


def test_a_resumed_training_captures_anew() -> None:
    """A resumed training gives the same results as an undisturbed one, and between epochs the optimizer holds only plain numbers."""
    split, whole = images(), fit(nadamw)
    whole.capture = Capture(whole, TapeRecorder())
    expected = train(whole, split)
    broken = fit(nadamw)
    broken.capture = Capture(broken, TapeRecorder())
    assert broken.scheduler is not None
    train(broken, split, last=1)
    states = copy.deepcopy((broken.network.state_dict(), broken.optimizer.state_dict(), broken.scheduler.state_dict()))
    assert "numbers" not in states[1]["param_groups"][0]
    assert isinstance(states[1]["param_groups"][0]["lr"], float)
    again = fit(nadamw)
    assert again.scheduler is not None
    again.network.load_state_dict(states[0])
    again.optimizer.load_state_dict(states[1])
    again.scheduler.load_state_dict(states[2])
    again.capture = Capture(again, TapeRecorder())
    assert train(again, split, first=2) == expected[1:]
    assert_same(again, whole)


def test_a_deadline_ends_an_epoch_and_leaves_plain_numbers() -> None:
    """A deadline ends the epoch at the next step, replayed or not, and the optimizer holds plain numbers afterwards."""
    one, split = fit(nas_bench_201_sgd), images()
    one.capture = Capture(one, TapeRecorder())
    train(one, split, last=1)
    one.stop_at = 0.0
    with pytest.raises(DeadlineExceeded):
        train(one, split, last=1)
    assert isinstance(one.optimizer.param_groups[0]["lr"], float)


def test_a_trained_network_is_let_go_of_at_once() -> None:
    """A network and its graph are freed without the garbage collector, because the next trial needs the memory."""
    one = fit(agd)
    one.capture = Capture(one, GoneRecorder())
    train(one, images(), last=1)
    gone = weakref.ref(one.network)
    gc.disable()
    try:
        del one
        assert gone() is None
    finally:
        gc.enable()


def test_memory_that_does_not_suffice_is_told() -> None:
    """An out-of-memory error in a capture is raised as in any other step, so that the scheduler retries the trial alone."""
    one = fit(agd)
    one.capture = Capture(one, TapeRecorder(torch.OutOfMemoryError("CUDA out of memory (a test)")))
    with pytest.raises(torch.OutOfMemoryError):
        train(one, images(), last=1)


@pytest.mark.parametrize("name", CASES)
def test_steps_that_cannot_be_captured_run_eagerly(name: str) -> None:
    """If a capture fails, training runs eagerly with unchanged results and records the reason."""
    algorithm, settings = CASES[name]
    split, made = images(), []
    for kind, recorder in ((Capture, TapeRecorder(RuntimeError("operation not permitted"))), (NeverCaptures, TapeRecorder())):
        one = fit(algorithm, **settings)
        one.capture = kind(one, recorder)
        made.append((train(one, split), one))
    (failed, one), (eager, other) = made
    assert failed == eager
    assert_same(one, other)
    assert one.capture is not None
    assert (one.capture.replays, "operation not permitted" in one.capture.reason) == (0, True)


class Looking(nn.Module):
    """A layer with a branch on a value that the host reads."""

    def forward(self, values: Tensor) -> Tensor:
        """Double the values if their mean is high."""
        return values * 2 if values.mean() > 10 else values


def test_a_network_that_the_host_looks_into_stays_eager() -> None:
    """A wait for the device is detected in an eager step, so no capture is attempted; results equal those of the plain loop."""
    split, made = images(), []
    for watched in (True, False):
        one = fit(agd, lambda: nn.Sequential(nn.Flatten(), nn.Linear(192, 8), Looking(), nn.Linear(8, 4)))
        recorder = TapeRecorder()
        one.capture = Capture(one, recorder) if watched else None
        made.append(train(one, split))
        if one.capture is not None:
            assert "waits for the device" in one.capture.reason
            assert (recorder.captures, one.capture.replays) == (0, 0)
    assert made[0] == made[1]


def test_what_cannot_be_captured_is_known_beforehand() -> None:
    """Watched steps, unsupported optimizers and schedules, and CPUs are ruled out in advance, each with a reason."""
    watched = fit(agd)
    watched.diagnosed = True
    averaged = fit(agd)

    class Average:
        averaged_model = averaged.network

        def step(self) -> None:
            """Do nothing."""

        def state_dict(self) -> dict[str, Any]:
            """Return an empty state."""
            return {}

        def load_state_dict(self, state_dict: dict[str, Any]) -> None:
            """Do nothing."""

    averaged.optimizer = Averaged(averaged.optimizer, averaged.network, Average())
    plainly = fit(nas_bench_201_sgd)
    plainly.optimizer = torch.optim.SGD(plainly.network.parameters(), lr=0.1)
    plainly.scheduler = None
    stepped = fit(nas_bench_201_sgd)
    stepped.scheduler = torch.optim.lr_scheduler.CyclicLR(stepped.optimizer, 0.1, 0.2)
    for one, reason in (
        (watched, "watched"),
        (averaged, "Averaged"),
        (fit(agd_operator), "AGD"),
        (plainly, "SGD"),
        (stepped, "CyclicLR"),
    ):
        assert reason in capture_obstacle(one)
    assert all(capture_obstacle(fit(algorithm, **settings)) == "" for algorithm, settings in CASES.values())
    on_cpu = fit(agd)
    capture_steps(on_cpu, CPU)
    assert (on_cpu.capture, on_cpu.eager_reason) == (None, "not on a GPU")


@pytest.mark.parametrize("fault", [None, RuntimeError("operation not permitted")])
@pytest.mark.parametrize("count", [1030, 512, 90])
def test_a_replayed_evaluation_is_an_eager_one(count: int, fault: Exception | None) -> None:
    """Replayed evaluation equals eager evaluation for any last batch size; if only evaluation cannot be captured, it stays eager."""
    split, val, made = images(), images(count=count), []
    for captured in (True, False):
        one, recorder = fit(adamw), TapeRecorder()
        one.capture = (Capture if captured else NeverCaptures)(one, recorder)
        evaluated = []
        for epoch in range(4):
            train(one, split, first=epoch + 1, last=epoch + 1)
            recorder._fault = fault if epoch else None
            evaluated.append(loop.evaluate(one, val) if captured else loop.evaluate(dataclasses.replace(one, capture=None), val))
        made.append(evaluated)
        assert recorder.captures >= (2 if captured else 0)
    assert made[0] == made[1]
    assert len({one.loss for one in made[0]}) == 4


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("build", [cell, dropping], ids=["convolutions", "dropout"])
@pytest.mark.parametrize("name", CASES)
def test_a_graph_trains_what_eager_steps_train_on_a_gpu(name: str, build: Callable[[], nn.Module]) -> None:
    """A graph runs the same kernels on the same numbers as eager steps, with the same dropout."""
    algorithm, settings = CASES[name]
    device = torch.device("cuda")
    split, made = images(device), []
    deterministic = torch.backends.cudnn.deterministic
    torch.backends.cudnn.deterministic = True
    try:
        for kind in (Capture, NeverCaptures):
            one = fit(algorithm, build, device, **settings)
            one.capture = kind(one, GraphRecorder(device))
            made.append((train(one, split), one))
    finally:
        torch.backends.cudnn.deterministic = deterministic
    (replayed, one), (eager, other) = made
    assert one.capture is not None
    assert one.capture.reason == ""
    assert one.capture.replays == EPOCHS * STEPS - WARM_UP_STEPS - 1  # the last batch warms up once
    # Pooling and indexing accumulate gradients with atomics in varying order, so small differences are rounding errors.
    for found, expected in zip(replayed, eager, strict=True):
        assert found == pytest.approx(expected, rel=1e-3, abs=0.03)
    assert_same(one, other, rtol=1e-2, atol=1e-3)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_capture_without_memory_says_so() -> None:
    """The out-of-memory error of the step is raised, not the resulting error of the capture."""

    def starve() -> None:
        torch.zeros(1, device="cuda")  # torch warns about empty captures
        torch.empty(1 << 50, dtype=torch.uint8, device="cuda")

    recorder = GraphRecorder(torch.device("cuda"))
    with recorder.side(), pytest.raises(torch.OutOfMemoryError):
        recorder.capture(starve)
    with ThreadPoolExecutor(1) as other:
        other.submit(cuda_graphs.ONE_AT_A_TIME.__enter__).result(timeout=60)  # the lock was released
        other.submit(cuda_graphs.ONE_AT_A_TIME.__exit__, None, None, None).result()


def test_losses_by_name_are_no_capture_obstacle() -> None:
    """All losses that a sweep can name can be captured, since none makes the host wait."""
    for name in losses.LOSSES:
        one, split = fit(agd), images()
        one.loss = losses.by_name(name)
        one.capture = Capture(one, TapeRecorder())
        train(one, split, last=1)
        assert one.capture.reason == ""
        assert one.capture.replays > 0
