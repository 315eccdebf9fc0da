"""Running a plan: the queue, the policy, the executors.

`runs.run` executes the remaining trials of a plan. Nothing is imported here, because every worker imports this package, and `queue`
imports Optuna, `executors.ray_pool` Ray, and `estimate` torch.
"""
