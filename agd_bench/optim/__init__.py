"""Optimizers, losses and schedules that depend on torch only.

- `agd`: automatic gradient descent, with its initialisation and learning rate; `agd_reference`: a short, readable version;
- `matrix_norms`: norms of a gradient from which AGD can be derived;
- `all_layers`: our extension of AGD to biases, normalisation, attention, embeddings and grouped convolutions;
- `muon`, `nadamw`, `lamb`: Muon with AdamW for all but hidden matrices, Adam with Nesterov momentum, LAMB;
- `dsgd`, `dsgd_heuristic`: duality structure gradient descent, with and without a guarantee;
- `layers`: the kind of each parameter of a network;
- `losses`: the square loss of the AGD paper, and cross-entropy;
- `schedules`: learning rates over a fixed number of steps;
- `orthogonal`: random semi-orthogonal matrices.

README.md in this folder lists how each optimizer treats each layer of torch.nn.
"""
