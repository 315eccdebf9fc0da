"""Optimizers, losses and schedules that anybody can use with torch alone.

- `agd`: automatic gradient descent, its initialisation and its learning rate;
- `nadamw`: Adam with Nesterov's momentum and decoupled weight decay, as AlgoPerf sets it;
- `losses`: the square loss of the AGD paper, and cross-entropy;
- `schedules`: learning rates over a known number of steps;
- `orthogonal`: random semi-orthogonal matrices.
"""
