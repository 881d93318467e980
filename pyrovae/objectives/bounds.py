"""The bounds themselves: functions of log w[k, b] = log p(x_b, z_kb) - log q(z_kb | x_b), from (K, B) to (B,), in nats."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["ciwae", "elbo", "iwae", "leave_one_out", "miwae", "renyi"]


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


def renyi(log_weight: Tensor, alpha: float | Tensor) -> Tensor:
    """1/(1 - alpha) log (1/K) sum_k w_k^(1 - alpha): the VR-IWAE bound; alpha = 0 is the IWAE, alpha -> 1 the ELBO.

    References: Li and Turner, Renyi Divergence Variational Inference, 2016.

    >>> renyi(torch.tensor([[-3.0], [-1.0]]), alpha=1.0)
    tensor([-2.])
    """
    if isinstance(alpha, Tensor):  # scheduled: its value is not looked at
        power = (1 - alpha).where(alpha != 1, 1.0)
        return torch.where(alpha != 1, iwae(power * log_weight) / power, elbo(log_weight))
    return elbo(log_weight) if alpha == 1 else iwae((1 - alpha) * log_weight) / (1 - alpha)


def miwae(log_weight: Tensor, num_groups: int) -> Tensor:
    """(1/M) sum_m log (1/L) sum_l w_ml: the mean of M IWAE bounds of L = K/M draws each; a lower bound.

    References: Rainforth et al., Tighter Variational Bounds are Not Necessarily Better, 2018 (MIWAE).

    >>> miwae(torch.tensor([[0.0], [0.0], [-2.0], [-2.0]]), num_groups=2)
    tensor([-1.])
    """
    return iwae(log_weight.unflatten(0, (num_groups, -1)).transpose(0, 1)).mean(0)


def ciwae(log_weight: Tensor, beta: float | Tensor) -> Tensor:
    """beta ELBO + (1 - beta) IWAE: a lower bound between the two.

    References: Rainforth et al., Tighter Variational Bounds are Not Necessarily Better, 2018 (CIWAE).

    >>> ciwae(torch.tensor([[0.0], [-2.0]]), beta=1.0)
    tensor([-1.])
    """
    return beta * elbo(log_weight) + (1 - beta) * iwae(log_weight)


def leave_one_out(log_weight: Tensor) -> Tensor:
    """L_-k, (K, B): the IWAE bound with w_k replaced by the geometric mean of the other K - 1 weights.

    References: Mnih and Rezende, Variational Inference for Monte Carlo Objectives, 2016.

    >>> leave_one_out(torch.tensor([[5.0], [-1.0], [-1.0]]))[0]
    tensor([-1.])
    """
    k = log_weight.shape[0]
    others = (log_weight.sum(0) - log_weight) / (k - 1)
    replaced = torch.where(torch.eye(k, dtype=torch.bool, device=log_weight.device).unsqueeze(-1), others, log_weight)
    return iwae(replaced.transpose(0, 1))
