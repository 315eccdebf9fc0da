"""Training algorithms: one module each, a complete procedure under the file's name.

A module defines

- `prepare(network, generator) -> network`: what is done to a network before training; it may draw from `generator` alone;
  `prepare = as_built` (`agd_bench.optim.starting`) for nothing;
- `build(network, steps, **hyperparameters)`: the optimizer, or the optimizer and its schedule, which is stepped once after
  every training step;
- `loss(logits, labels)`: what a training step minimises, a scalar; a sweep may ask for another;
- `RANGES`: what a tuner searches, by the names that `build` takes: {"low": a, "high": b, "log": bool} or {"choices": [...]};
  empty for an algorithm that is not tuned;
- `TIER`: "self-tuning" (nothing is set per workload), "learning-rate-free" (no learning rate, but weight decay, betas or a schedule are
  frozen) or "externally tuned" (it has `RANGES`);
- `PAPER`: a short reference with its arXiv id, such as "Bernstein et al. 2023, arXiv 2304.05187", or "none"; `SOURCE`: the whole
  citation, and what in it is not the paper's; `LICENCE`: of the code that trains, this file's and that of a package which it wraps;
- where it needs an optional package: `PACKAGES`, a tuple of the names that it imports, such as ("prodigyopt",), and `EXTRA`, the name
  of the extra of this distribution that installs them. Both are literals, read without importing the module, which may therefore
  import its package at the top. Without the package it is still listed, as not ready, and a sweep that asks for it is told what to
  install;
- optionally `CALIBRATION`, for an algorithm without `RANGES`: hyperparameters with defaults that a study may search all the same, in the
  same form, when an entry of a sweep gives it `tuning_trials`;
- optionally `diagnostics(optimizer)`: floats by name that are read once an epoch, after training; `eta`, the rate that its steps have,
  stands in the curves instead of param_groups[0]["lr"], the others are recorded where a sweep asks for `diagnostics = ["optimizer"]`;
- optionally `LOSSES`, the losses that it may be given, and `GUARANTEE`, whether every step is proved to descend: both stand in
  every result.

An algorithm whose `prepare` or `build` takes a parameter `graph` is given the architecture's `agd_bench.optim.path_scaling.Graph`, by
that name; where the search space tells no paths, it is refused. One whose `prepare` takes a parameter `device` is given that of the
training, where it may compute what it draws; the network itself is still on the CPU. `STUDY`, optional, says how the tuning trials of an
algorithm differ from its final ones: `network` ("shallow": by search-space scope, trained on the space's SHALLOW network instead of on
proxies), `epochs`, `seeds` (trainings of each proposal), `metric` ("train_loss", the smallest of which is best, instead of validation
accuracy) and `hyperparameters` (values that the final trials do not get).

An optimizer that answers with other weights than it trains at (schedule-free, iterate averaging) has two methods: `eval()` puts the
answer's weights into the network, `train()` the training's; `build` returns it in training mode. The harness calls them around each
evaluation, after it computed the statistics of batch normalisation anew (`agd_bench.training.eval_weights`), which is charged.

Where a sweep asks for `diagnostics = ["optimizer"]`, an optimizer's own `diagnostics()` gives 0-dim tensors by name once an epoch, and one
that promises a decrease of each step may have `compare(before, after)`: it is told the loss of the step's batch before and after it
(`agd_bench.training.descent_check`), and its `diagnostics()` say what came of the promises, by the names that `analysis.decreases` reads.

`presets.toml` holds algorithms at fixed hyperparameters under names of their own, such as `nadamw_calibrated`; see `agd_bench.presets`.

A network that an algorithm cannot train is answered with `agd_bench.errors.Refused`. To add one, copy the nearest module here
or into a folder of yours; nothing is registered.
"""
