"""The bounds themselves: functions of log w[k, b] = log p(x_b, z_kb) - log q(z_kb | x_b), from (K, B) to (B,), in nats."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["elbo", "iwae", "renyi"]


def elbo(log_weight: Tensor) -> Tensor:
    """E_q[log w] by the mean over K draws: a lower bound on log p(x).

    References: Kingma and Welling, Auto-Encoding Variational Bayes, 2014, Eq. (2).

    >>> elbo(torch.tensor([[-3.0], [-1.0]]))
    tensor([-2.])
    """
    return log_weight.mean(0)


def iwae(log_weight: Tensor) -> Tensor:
    """log (1/K) sum_k w_k: a lower bound on log p(x) in expectation, tighter with K.

    References: Burda, Grosse and Salakhutdinov, Importance Weighted Autoencoders, 2016, Eq. (8).

    >>> iwae(torch.tensor([[0.0], [0.0]]))
    tensor([0.])
    """
    return torch.logsumexp(log_weight, 0) - math.log(log_weight.shape[0])


def renyi(log_weight: Tensor, alpha: float) -> Tensor:
    """1/(1 - alpha) log (1/K) sum_k w_k^(1 - alpha): the VR-IWAE bound; alpha = 0 is the IWAE, alpha -> 1 the ELBO.

    References: Li and Turner, Renyi Divergence Variational Inference, 2016, Eq. (14).

    >>> renyi(torch.tensor([[-3.0], [-1.0]]), alpha=1.0)
    tensor([-2.])
    """
    return elbo(log_weight) if alpha == 1 else iwae((1 - alpha) * log_weight) / (1 - alpha)
