"""Agreement of rankings against seed noise: Kendall's tau, the null test, top-k overlap, regret, reliability, power."""
