"""Experiments of single papers: analysis, figures and report section of each. The core does not know them."""
