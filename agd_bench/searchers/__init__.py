"""Search methods: one module per method.

A search method chooses which architectures to train. A module defines

- `start(space, budget_seconds, rng)`: returns the state of one search;
- `ask(search)`: returns the architecture to train next, or a tuple of it and one of `space.epochs`, the possible budgets of a training
  (default: the last one), or None to stop;
- `tell(search, architecture, epochs, accuracy, seconds)`: receives the validation accuracy in [0, 1] of the requested training (0 if it
  diverged) and the simulated seconds that it was charged.

`space` is an `agd_bench.tabular.Domain`: `architectures`, `sample(rng)`, `neighbours(architecture)`, `mutate(architecture, rng)`, the
categorical `variables` with `choices(architecture)` and `architecture(choices)`, `epochs`, and zero-cost `scores`. A method has no access
to the table and must draw random numbers only from `rng`. Optional facts: `SETTINGS`, `PAPER`, `PACKAGES` and `EXTRA`.
"""
