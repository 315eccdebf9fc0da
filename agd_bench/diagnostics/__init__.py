"""Measure a network: spectra of its Jacobians and convolutions, and the slope of its loss. Measuring is not charged to training."""

from agd_bench.diagnostics.blocks import find_blocks
from agd_bench.diagnostics.spectra import Spectrum, jacobian_spectrum, operator_spectrum
from agd_bench.diagnostics.watch import PARTS, Reading, Watch, log_spaced_steps, measure, modes_of

__all__ = [
    "PARTS",
    "Reading",
    "Spectrum",
    "Watch",
    "find_blocks",
    "jacobian_spectrum",
    "log_spaced_steps",
    "measure",
    "modes_of",
    "operator_spectrum",
]
