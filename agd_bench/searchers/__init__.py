"""Search methods: one module per method.

A search method chooses which architectures to train. A module defines

- `start(space, budget_seconds, rng)`: returns whatever the method remembers during one search;
- `ask(search)`: returns the architecture to train next; or an architecture and one of `space.epochs`, the budgets that a training can have
  (default: the last one); or None, if there is nothing more to ask;
- `tell(search, architecture, epochs, accuracy, seconds)`: takes the validation accuracy in [0, 1] of the training that was asked for (0 if
  it diverged) and the simulated seconds that it was charged.

`space` is an `agd_bench.tabular.Domain`: `architectures`, `sample(rng)`, `neighbours(architecture)`, `mutate(architecture, rng)`, the
categorical `variables` with `choices(architecture)` and `architecture(choices)`, `epochs`, and zero-cost `scores`. A method knows no table
and draws random numbers from `rng` only. Optional facts: `SETTINGS`, `PAPER`, `PACKAGES` and `EXTRA`.
"""
