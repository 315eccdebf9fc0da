"""Running a plan: the queue, the policy, the executors.

`running.run` does what is still to be done of a plan. Nothing is imported here, because every worker imports this
package: `queueing` brings Optuna, `pooling` Ray, `estimating` torch.
"""
