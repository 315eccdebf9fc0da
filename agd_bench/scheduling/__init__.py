"""Running a plan: the queue, the policy, the executors. Ray is imported only when it is asked for."""

from agd_bench.scheduling.executing import Executor, InProcessExecutor, Outcome, Task
from agd_bench.scheduling.progress import Event, Observer, Snapshot
from agd_bench.scheduling.running import fetch_datasets, run

__all__ = ["Event", "Executor", "InProcessExecutor", "Observer", "Outcome", "Snapshot", "Task", "fetch_datasets", "run"]
