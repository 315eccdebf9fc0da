"""Training algorithms: one module each, a complete procedure under the file's name.

A module defines

- `prepare(network, generator) -> network`: what is done to a network before training; it may draw from `generator` alone;
- `build(network, steps, **hyperparameters)`: the optimizer, or the optimizer and its schedule, which is stepped once after
  every training step;
- `loss(logits, labels)`: what a training step minimises, a scalar; a sweep may ask for another;
- `RANGES`: what a tuner searches, by the names that `build` takes: {"low": a, "high": b, "log": bool} or {"choices": [...]};
  empty for an algorithm that is not tuned;
- `TIER` ("self-tuning", "learning-rate-free" or "externally tuned"), `SOURCE` and `LICENCE`.

A network that an algorithm cannot train is answered with `agd_bench.errors.Refused`. To add one, copy the nearest module here
or into a folder of yours; nothing is registered.
"""
