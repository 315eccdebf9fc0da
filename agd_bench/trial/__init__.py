"""One trial: resolve its names, build its network, train it, measure it. It never writes to the store, so it runs without one.

Whatever an architecture or an algorithm does (refuse, diverge, raise) becomes a result. A fault of the installation (a missing data
set, a plug-in that does not load, a full disk) is raised, and so is a lack of memory.
"""

from agd_bench.trial.attempt import run_trial
from agd_bench.trial.build import build_network, make_fit
from agd_bench.trial.measurements import blank_batch, charge_of
from agd_bench.trial.workplace import Workplace

__all__ = ["Workplace", "blank_batch", "build_network", "charge_of", "make_fit", "run_trial"]
