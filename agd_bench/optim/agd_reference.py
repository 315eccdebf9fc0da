"""Reference implementation of automatic gradient descent, as in the paper. Tests compare the fast implementation (`agd`) with it.

References:
    Jeremy Bernstein, Chris Mingard, Kevin Huang, Navid Azizan, Yisong Yue: Automatic Gradient Descent: Deep Learning without
    Hyperparameters. arXiv 2304.05187, 2023, Algorithm 1. Kernels, and taps without gradient, follow the authors' later description.
"""

import math

import torch
from torch import Tensor


def scale(weight: Tensor) -> float:
    """Return the initial singular values of a weight: sqrt(d_k / d_(k-1)), divided by sqrt(k_x k_y) for a kernel."""
    return math.sqrt(weight.shape[0] / weight.shape[1] / math.prod(weight.shape[2:]))


def taps(tensor: Tensor) -> tuple[Tensor, ...]:
    """Return the matrices (d_k, d_(k-1)) of a weight or a gradient as views: itself, or one per kernel position."""
    return tensor.view(*tensor.shape[:2], -1).unbind(2)


@torch.no_grad()
def initialise_weights(weights: list[Tensor]) -> None:
    """Algorithm 1, initialisation: random semi-orthogonal matrices times their scale."""
    for weight in weights:
        # a kernel is one matrix per position, each orthogonal by itself
        for tap in taps(weight):
            tap.copy_(torch.nn.init.orthogonal_(torch.empty_like(tap)) * scale(weight))


@torch.no_grad()
def update_weights(weights: list[Tensor], gain: float = 1.0) -> float:
    """Algorithm 1, update: take one step from the mini-batch gradients, and return the automatic learning rate."""
    L = len(weights)
    gradients = [torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in weights]
    # gradient summary: G = (1/L) sum_k ||g_k||_F sqrt(d_k / d_(k-1))
    norms = [sum(tap.norm().item() for tap in taps(gradient)) for gradient in gradients]
    G = sum(scale(weight) * norm for weight, norm in zip(weights, norms, strict=True)) / L
    # minimises the bound on the loss after the step
    eta = math.log((1 + math.sqrt(1 + 4 * G)) / 2)
    for weight, gradient in zip(weights, gradients, strict=True):
        for tap, slope in zip(taps(weight), taps(gradient), strict=True):
            if slope.any():  # 0 / 0 otherwise
                # W_k <- W_k - (eta/L) sqrt(d_k / d_(k-1)) g_k / ||g_k||_F
                tap -= gain * eta / L * scale(weight) * slope / slope.norm()
    return eta
