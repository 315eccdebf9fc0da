"""Optimizers, losses and schedules that anybody can use with torch alone.

- `agd`: automatic gradient descent, its initialisation and its learning rate;
- `matrix_norms`: the norms of a gradient that it can be derived with;
- `all_layers`: our extension of it to biases, normalisation, attention, embeddings and grouped convolutions;
- `nadamw`: Adam with Nesterov's momentum and decoupled weight decay, as AlgoPerf sets it;
- `losses`: the square loss of the AGD paper, and cross-entropy;
- `schedules`: learning rates over a known number of steps;
- `orthogonal`: random semi-orthogonal matrices.
"""
