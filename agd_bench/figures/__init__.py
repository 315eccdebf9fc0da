"""The figures: accuracy against charged cost, rank shifts against seed noise, agreement of rankings, learning curves.

Each function takes a table of `analysis` (rows of one comparison group) and returns a `Picture`: a matplotlib figure and a caption
that states what is shown, the sample size and the kind of interval. If there is nothing to draw, the figure says why.
"""

from agd_bench.figures.agreement import published_agreement_picture, rank_shift_picture, tau_matrix
from agd_bench.figures.appearance import INK, STYLE, Drawing, Picture
from agd_bench.figures.budget_curves import accuracy_by_budget
from agd_bench.figures.charged_cost import accuracy_against_cost, anytime_picture, crossover_picture, search_bands_picture
from agd_bench.figures.contrasts import critical_difference_picture, performance_profile_picture
from agd_bench.figures.drivers import drivers_picture, variance_components_picture
from agd_bench.figures.training_curves import RATES, automatic_rates, decreases_picture, layer_updates, learning_curves, updates_per_layer

__all__ = [
    "INK",
    "RATES",
    "STYLE",
    "Drawing",
    "Picture",
    "accuracy_against_cost",
    "accuracy_by_budget",
    "anytime_picture",
    "automatic_rates",
    "critical_difference_picture",
    "crossover_picture",
    "decreases_picture",
    "drivers_picture",
    "layer_updates",
    "learning_curves",
    "performance_profile_picture",
    "published_agreement_picture",
    "rank_shift_picture",
    "search_bands_picture",
    "tau_matrix",
    "updates_per_layer",
    "variance_components_picture",
]
