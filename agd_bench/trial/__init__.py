"""One trial: resolve its names, build its network, train it, and measure it. It never writes to the store, so it runs without one.

If an architecture or an algorithm refuses, diverges or raises, the outcome is a result. Faults of the installation (a missing data set, a
plug-in that does not load, a full disk) and lack of memory are raised.
"""

from agd_bench.trial.attempt import run_trial
from agd_bench.trial.build import build_network, make_fit
from agd_bench.trial.measurements import blank_batch, charge_of
from agd_bench.trial.workplace import Workplace

__all__ = ["Workplace", "blank_batch", "build_network", "charge_of", "make_fit", "run_trial"]
