"""Search methods on tabular benchmarks: simulate many runs, compare the methods, and test whether their ranking changes."""
