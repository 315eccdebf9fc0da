"""Search methods on tabular benchmarks: simulate many runs, compare the methods, and say whether their ranking changes."""
