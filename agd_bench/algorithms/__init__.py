"""Training algorithms: one module each, a complete procedure under the file's name.

A module defines

- `prepare(network, generator) -> network`: prepares a network for training, for example by initialising it. It draws random numbers
  from `generator` only. `prepare = as_built` (`agd_bench.optim.starting`) keeps the network unchanged;
- `build(network, steps, **hyperparameters)`: returns the optimizer, or the optimizer and its schedule, which is stepped after every
  training step;
- `loss(logits, labels)`: returns the training loss, a scalar. A sweep may replace it;
- `RANGES`: what a tuner searches, by the keywords of `build`: {"low": a, "high": b, "log": bool} or {"choices": [...]}; empty for an
  algorithm that is not tuned;
- `TIER`: "self-tuning" (no setting per workload), "learning-rate-free" (no learning rate; weight decay, betas or a schedule are frozen)
  or "externally tuned" (it has `RANGES`);
- `PAPER`: a short reference with its arXiv id, such as "Bernstein et al. 2023, arXiv 2304.05187", or "none"; `SOURCE`: the full citation,
  and what differs from the paper; `LICENCE`: of this code and of a package that it wraps.

Optional:

- `PACKAGES`: the optional packages that it imports, such as ("prodigyopt",), and `EXTRA`: the extra of this distribution that installs
  them. Both are literals, read without importing the module. If a package is missing, the algorithm is listed as not ready, and a sweep
  that uses it reports how to install the package;
- `CALIBRATION`, for an algorithm without `RANGES`: ranges, in the same form, that a study may search if an entry of a sweep sets
  `tuning_trials`;
- `diagnostics(optimizer)`: returns floats by name, once per epoch after training. `eta`, the effective learning rate, replaces
  param_groups[0]["lr"] in the curves; the others are recorded if a sweep sets `diagnostics = ["optimizer"]`;
- `LOSSES`: the losses that it supports; `GUARANTEE`: whether a decrease is proved for every step. Every result states both;
- `STUDY`: how tuning trials differ from final ones: `network` ("shallow": train the space's SHALLOW network, with search-space scope),
  `epochs`, `seeds` (trainings per proposal), `metric` ("train_loss", smaller is better, instead of validation accuracy) and
  `hyperparameters` (values for tuning trials only).

If `prepare` or `build` has a parameter `graph`, it gets the architecture's `agd_bench.optim.path_scaling.Graph`; search spaces without
paths are refused. If `prepare` has a parameter `device`, it gets the training device, on which it may compute random weights; the network
itself is still on the CPU.

An optimizer that is evaluated at other weights than it trains (schedule-free methods, iterate averaging) has the methods `eval()` and
`train()`, which swap the weights of the network. `build` returns it in training mode. The harness calls both around each evaluation, and
recomputes the statistics of batch normalisation (`agd_bench.training.eval_weights`); this time is charged.

If a sweep sets `diagnostics = ["optimizer"]`, the optimizer's own `diagnostics()` returns 0-dim tensors by name once per epoch. An
optimizer that bounds the decrease of each step may define `compare(before, after)`, which receives the loss of the step's batch before and
after it (`agd_bench.training.descent_check`); its `diagnostics()` then reports the comparison under the names that
`analysis.training_curves` reads.

An algorithm raises `agd_bench.errors.Refused` for a network that it cannot train. To add an algorithm, copy a similar module here or into
a folder of your own; there is no registration. `presets.toml` lists algorithms with fixed hyperparameters (`agd_bench.presets`).
"""
