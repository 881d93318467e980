"""Two other maps of images in the plane: t-SNE by scikit-learn, and a small network that is trained to the same cost."""

from __future__ import annotations

import time

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["neighbour_probabilities", "parametric_tsne", "tsne"]

PERPLEXITY, ROWS = 30.0, 500


def tsne(x: Tensor, seed: int) -> Tensor:
    """scikit-learn's t-SNE of rows, (N, D), to (N, 2)."""
    from sklearn.manifold import TSNE

    perplexity = min(PERPLEXITY, (len(x) - 1) / 3)
    return torch.from_numpy(TSNE(perplexity=perplexity, random_state=seed).fit_transform(x.numpy()))


def neighbour_probabilities(x: Tensor, perplexity: float) -> Tensor:
    """The symmetric p_ij of t-SNE, (n, n), widths found by bisection so that each row has this perplexity."""
    squares = torch.cdist(x, x).square().double()
    off = ~torch.eye(len(x), dtype=torch.bool)
    low, high = torch.zeros(len(x), 1, dtype=torch.float64), torch.full((len(x), 1), 1e4, dtype=torch.float64)
    for _ in range(60):
        precision = (low + high) / 2
        p = (-precision * squares).masked_fill(~off, -torch.inf).softmax(-1)
        entropy = -(p * p.clamp_min(1e-300).log()).sum(-1, keepdim=True)
        wide = entropy > np.log(perplexity)
        low, high = torch.where(wide, precision, low), torch.where(wide, high, precision)
    return ((p + p.T) / (2 * len(x))).float()


def parametric_tsne(x: Tensor, test: Tensor, seconds: float, seed: int, hidden: int) -> Tensor:
    """A network of training rows, (N, D), to the plane that minimizes the cost of t-SNE batch by batch; of test rows, (M, 2).

        KL(P || Q),   q_ij = (1 + |f(x_i) - f(x_j)|^2)^-1 / sum

    Not pretrained by Boltzmann machines, as in the paper; a degree of freedom, as it has for two dimensions.

    References: van der Maaten, Learning a Parametric Embedding by Preserving Local Structure, 2009, Eq. (1) to (4).
    """
    torch.manual_seed(seed)
    network = nn.Sequential(
        nn.Linear(x.shape[-1], hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 2)
    )
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    parts = x[torch.randperm(len(x))].split(min(ROWS, len(x)))
    batches = [(part, neighbour_probabilities(part, min(PERPLEXITY, len(part) / 4))) for part in parts]
    began = time.process_time()
    while True:
        for part, p in batches:
            z = network(part)
            kernel = (1 + (z.unsqueeze(0) - z.unsqueeze(1)).square().sum(-1)).reciprocal()
            kernel = kernel - torch.diag_embed(kernel.diagonal())
            cost = (p * (p.clamp_min(1e-12).log() - (kernel / kernel.sum()).clamp_min(1e-12).log())).sum()
            optimizer.zero_grad()
            cost.backward()
            optimizer.step()
        if time.process_time() - began >= seconds:
            with torch.no_grad():
                out: Tensor = network(test)
            return out
