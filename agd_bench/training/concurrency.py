"""Keep several trainings in one process independent of each other.

Threads share torch's default generators and settings. Code that uses the generators holds `DEFAULT_GENERATORS`: building a network, an
epoch of a training that draws random numbers, or a capture. All other steps need no lock. On a GPU, each training has its own stream.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

from agd_bench.training.data import ImageSet, draw
from agd_bench.training.fit import Fit
from agd_bench.training.settings import own_process_settings, own_thread_settings, set_wanted
from agd_bench.training.turns import states_of_generators

# The smallest number with which batch normalisation can train.
PROBED_IMAGES = 2


_STREAMS = threading.local()


def own_stream(device: torch.device) -> torch.cuda.Stream:
    """This thread's stream on a GPU."""
    streams: dict[torch.device, torch.cuda.Stream] = _STREAMS.__dict__.setdefault("by_device", {})
    # Torch cycles through 32 streams, so a new one each time would soon also belong to another thread.
    if device not in streams:
        streams[device] = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    return streams[device]


class _Settings:
    """Apply the settings for trials to the process, from the start of the first trial to the end of the last."""

    def __init__(self) -> None:
        self._lock, self._trials, self._undo = threading.Lock(), 0, ExitStack()

    def enter(self) -> None:
        with self._lock:
            if self._trials == 0:
                # Only the first trial sees the caller's settings; later trials would save ours as the caller's.
                self._undo.enter_context(own_process_settings())
            set_wanted()  # a concurrent trial may have changed them
            self._trials += 1

    def leave(self) -> None:
        with self._lock:
            self._trials -= 1
            if self._trials == 0:
                self._undo.close()


_SETTINGS = _Settings()


@contextmanager
def own_surroundings(threads: int, device: torch.device | None = None) -> Iterator[None]:
    """Context with a trial's settings, threads and stream; restores the caller's on exit (see `agd_bench.training.settings`).

    Args:
        threads: CPU threads of a trial.
        device: on a GPU, work within the context uses this thread's own stream.
    """
    _SETTINGS.enter()
    try:
        with own_thread_settings(threads), ExitStack() as stack:
            if device is not None and device.type == "cuda":
                stack.enter_context(torch.cuda.stream(own_stream(device)))
            yield
    finally:
        _SETTINGS.leave()


def settle(device: torch.device) -> None:
    """Wait for this thread's work on the device, so other threads can use its results from other streams."""
    if device.type == "cuda":
        torch.cuda.current_stream(device).synchronize()


def draws(fit: Fit, images: ImageSet) -> bool:
    """Whether steps of a training draw from torch's default generators, as dropout does. Hold the lock meanwhile; no state changes.

    Args:
        fit: in either mode.
        images: the training split; a few of its images pass through the network in training mode.
    """
    if fit.replay is not None or fit.watch is not None:
        return True  # they set the generators themselves
    device, network = images.labels.device, fit.network
    pixels, labels = draw(images, torch.arange(min(PROBED_IMAGES, len(images.labels)))).on(device).batch(images)
    was_training, before = network.training, states_of_generators(device)
    network.train()
    # During the pass, batch normalisation updates these copies of its running statistics.
    copies = {name: value.detach().clone() for name, value in (*network.named_parameters(), *network.named_buffers())}
    with torch.no_grad(), fit.arithmetic(device):
        fit.loss(torch.func.functional_call(network, copies, (pixels,)).float(), labels)
    network.train(was_training)
    # Detected from the pass, not from the types of layers, because a plug-in may draw in its own function.
    return any(not torch.equal(one, two) for one, two in zip(before, states_of_generators(device), strict=True))
