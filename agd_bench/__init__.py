"""agd-bench: what hyperparameter-free training does to architecture search."""
