"""Training algorithms: one module each, a complete procedure under the file's name.

A module defines

- `prepare(network, generator) -> network`: what is done to a network before training; it may draw from `generator` alone;
- `build(network, steps, **hyperparameters)`: the optimizer, or the optimizer and its schedule, which is stepped once after
  every training step;
- `loss(logits, labels)`: what a training step minimises, a scalar; a sweep may ask for another;
- `RANGES`: what a tuner searches, by the names that `build` takes: {"low": a, "high": b, "log": bool} or {"choices": [...]};
  empty for an algorithm that is not tuned;
- `TIER` ("self-tuning", "learning-rate-free" or "externally tuned"), `SOURCE` and `LICENCE`;
- optionally `LOSSES`, the losses that it may be given, and `GUARANTEE`, whether every step is proved to descend: both stand in
  every result.

An algorithm whose `prepare` or `build` takes a parameter `graph` is given the architecture's `agd_bench.optim.path_scaling.Graph`, by
that name; where the search space tells no paths, it is refused. `STUDY`, optional, says how the tuning trials of an algorithm differ from
its final ones: `network` ("shallow": by search-space scope, trained on the space's SHALLOW network instead of on proxies), `epochs`,
`seeds` (trainings of each proposal), `metric` ("train_loss", the smallest of which is best, instead of validation accuracy) and
`hyperparameters` (values that the final trials do not get).

A network that an algorithm cannot train is answered with `agd_bench.errors.Refused`. To add one, copy the nearest module here
or into a folder of yours; nothing is registered.
"""
