"""Running a plan: the queue, the policy, the executors.

`runs.run` does what is still to be done of a plan. Nothing is imported here, because every worker imports this
package: `queue` brings Optuna, `executors.ray_pool` Ray, `estimate` torch.
"""
