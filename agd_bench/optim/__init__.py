"""Optimizers, losses and schedules that anybody can use with torch alone.

- `agd`: automatic gradient descent, its initialisation and its learning rate; `agd_reference` the same to be read;
- `matrix_norms`: the norms of a gradient that it can be derived with;
- `all_layers`: our extension of it to biases, normalisation, attention, embeddings and grouped convolutions;
- `muon`, `nadamw`, `lamb`: Muon with AdamW for what is no hidden matrix, Adam with Nesterov's momentum, LAMB;
- `dsgd`, `dsgd_heuristic`: duality structure gradient descent, with a guarantee and without;
- `layers`: what each parameter of a network is;
- `losses`: the square loss of the AGD paper, and cross-entropy;
- `schedules`: learning rates over a known number of steps;
- `orthogonal`: random semi-orthogonal matrices.

README.md beside this file says what each optimizer does with each layer of torch.nn.
"""
