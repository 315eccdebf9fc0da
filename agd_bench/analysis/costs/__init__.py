"""Charged cost: ledgers, tuning curves, crossover budgets, time to target."""
