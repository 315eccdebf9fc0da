"""Charged cost: ledgers, tuning curves, crossover with tuning, time to target."""
