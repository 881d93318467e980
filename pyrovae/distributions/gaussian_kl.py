"""The KL divergence of a Gaussian from a product of Gaussians, which torch lacks."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions.kl import register_kl

__all__ = []


@register_kl(torch.distributions.MultivariateNormal, torch.distributions.Independent)
def _kl_multivariate_factorized(q: torch.distributions.MultivariateNormal, p: torch.distributions.Independent) -> Tensor:
    """KL(N(m, S) || N(a, diag s^2)) = 1/2 sum_i [(S_ii + (m_i - a_i)^2) / s_i^2 - 1 + log s_i^2] - 1/2 log |S|.

    Torch and Pyro have only the other direction.
    """
    normal = p.base_dist
    if not isinstance(normal, torch.distributions.Normal) or p.reinterpreted_batch_ndims != 1:
        raise NotImplementedError
    log_det = 2 * q._unbroadcasted_scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    fit = (q.variance + (q.mean - normal.mean).square()) / normal.variance - 1 + normal.variance.log()
    return 0.5 * (fit.sum(-1) - log_det)
