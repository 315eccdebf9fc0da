"""Agreement of rankings against seed noise: Kendall tau, the null test, top-k overlap, regret, reliability, power."""
