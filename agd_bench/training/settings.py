"""Settings of a process that affect the result of a training: set for trials, and restored for the caller."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch


class Setting(NamedTuple):
    """One setting of the process.

    Attributes:
        read: returns the current value.
        write: sets it to a value returned by `read`.
        wanted: its value for trials; None if trials use the caller's value.
    """

    read: Callable[[], Any]
    write: Callable[[Any], object]
    wanted: Any = None


def _of_cudnn(name: str, wanted: bool) -> Setting:
    return Setting(lambda: getattr(torch.backends.cudnn, name), lambda value: setattr(torch.backends.cudnn, name, value), wanted)


def _deterministic() -> tuple[bool, bool]:
    return torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()


def _set_default_device(device: torch.device) -> None:
    # Without a mode, torch does not check every call; this also means the CPU.
    torch.set_default_device(None if device.type == "cpu" else device)


def _working_directory() -> str | None:
    try:
        return os.getcwd()
    except FileNotFoundError:
        return None  # the caller's folder was deleted, so it cannot be restored


def _go_back(folder: str | None) -> None:
    if folder is not None:
        os.chdir(folder)


def _set_environment(before: dict[str, str]) -> None:
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    os.environ.update({name: value for name, value in before.items() if os.environ.get(name) != value})


OF_THE_PROCESS = (
    # A caller may use float64, or a plug-in may lower the precision of products; neither must affect the results of other trials.
    Setting(torch.get_default_dtype, torch.set_default_dtype, torch.float32),
    Setting(torch.get_default_device, _set_default_device, torch.device("cpu")),
    Setting(torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, "highest"),
    Setting(_deterministic, lambda value: torch.use_deterministic_algorithms(value[0], warn_only=value[1]), (False, False)),
    Setting(torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly, False),
    # Float32 is the reference: by default, torch rounds the inputs of a GPU's convolutions to ten bits.
    _of_cudnn("allow_tf32", False),
    # Kernels chosen by timing, and with them the last digits, would differ from run to run.
    _of_cudnn("benchmark", False),
    _of_cudnn("deterministic", False),
    # Trials need no particular value, but plug-ins may change these, so restore the caller's.
    Setting(random.getstate, random.setstate),
    Setting(lambda: np.random.get_state(legacy=False), np.random.set_state),
    Setting(_working_directory, _go_back),
    Setting(lambda: dict(os.environ), _set_environment),
)


def set_wanted() -> None:
    """Apply the settings for trials where they differ."""
    for setting in OF_THE_PROCESS:
        if setting.wanted is not None and setting.read() != setting.wanted:
            setting.write(setting.wanted)


@contextmanager
def own_process_settings() -> Iterator[None]:
    """Context with the settings for trials; restores the previous ones on exit, including torch's generators."""
    before = [setting.read() for setting in OF_THE_PROCESS]
    with torch.random.fork_rng():
        set_wanted()
        try:
            yield
        finally:
            for setting, value in zip(OF_THE_PROCESS, before, strict=True):
                if setting.wanted is None or setting.read() != value:
                    setting.write(value)


@contextmanager
def own_thread_settings(threads: int) -> Iterator[None]:
    """Context in which this thread records gradients, does not autocast, and uses the given number of CPU threads.

    Args:
        threads: CPU threads of torch's operations.
    """
    before = torch.get_num_threads()
    with ExitStack() as stack:
        # Per-thread modes: the caller may be in `no_grad`, `inference_mode` or autocast.
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        for device in ("cpu", "cuda"):
            stack.enter_context(torch.autocast(device, enabled=False))
        if before != threads:
            torch.set_num_threads(threads)
        try:
            yield
        finally:
            if torch.get_num_threads() != before:
                torch.set_num_threads(before)
