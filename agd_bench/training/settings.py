"""The settings of a process that change what a training computes: set for trials, and put back as the caller had them."""

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
        read: its value now.
        write: set it to a value that `read` gave.
        wanted: its value for trials; None for one that trials take as the caller has it.
    """

    read: Callable[[], Any]
    write: Callable[[Any], object]
    wanted: Any = None


def _of_cudnn(name: str, wanted: bool) -> Setting:
    return Setting(lambda: getattr(torch.backends.cudnn, name), lambda value: setattr(torch.backends.cudnn, name, value), wanted)


def _deterministic() -> tuple[bool, bool]:
    return torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()


def _set_default_device(device: torch.device) -> None:
    # Without one torch need not look at every call; that is the CPU too.
    torch.set_default_device(None if device.type == "cpu" else device)


def _working_directory() -> str | None:
    try:
        return os.getcwd()
    except FileNotFoundError:
        return None  # the caller's was deleted, so there is none to go back to


def _go_back(folder: str | None) -> None:
    if folder is not None:
        os.chdir(folder)


def _set_environment(before: dict[str, str]) -> None:
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    os.environ.update({name: value for name, value in before.items() if os.environ.get(name) != value})


OF_THE_PROCESS = (
    # A caller may work in float64, or a plug-in lower the precision of products: neither may reach another trial's results.
    Setting(torch.get_default_dtype, torch.set_default_dtype, torch.float32),
    Setting(torch.get_default_device, _set_default_device, torch.device("cpu")),
    Setting(torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, "highest"),
    Setting(_deterministic, lambda value: torch.use_deterministic_algorithms(value[0], warn_only=value[1]), (False, False)),
    Setting(torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly, False),
    # Float32 is the reference: a GPU's convolutions keep its digits, which torch by default rounds to ten bits.
    _of_cudnn("allow_tf32", False),
    # Kernels chosen by timing would differ from run to run, and with them the last digits.
    _of_cudnn("benchmark", False),
    _of_cudnn("deterministic", False),
    # No value is better for trials, but plug-ins may change these: the caller gets its own back.
    Setting(random.getstate, random.setstate),
    Setting(lambda: np.random.get_state(legacy=False), np.random.set_state),
    Setting(_working_directory, _go_back),
    Setting(lambda: dict(os.environ), _set_environment),
)


def set_wanted() -> None:
    """Set what trials want, where it is not so."""
    for setting in OF_THE_PROCESS:
        if setting.wanted is not None and setting.read() != setting.wanted:
            setting.write(setting.wanted)


@contextmanager
def own_process_settings() -> Iterator[None]:
    """Within the `with`, the process's settings are those of trials; after it they are as before, torch's generators included."""
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
    """Within the `with`, this thread records gradients, computes in the types that it is given, and uses so many CPU threads.

    Args:
        threads: CPU threads of torch's operations.
    """
    before = torch.get_num_threads()
    with ExitStack() as stack:
        # Modes of the thread: the caller may be in `no_grad`, `inference_mode` or autocast.
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
