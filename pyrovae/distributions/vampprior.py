"""Learned priors p(z): the VampPrior, a mixture of the guide's posteriors at learned pseudo-inputs."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import hardtanh

from pyrovae.distributions.gaussian_mixture import GaussianMixture
from pyrovae.errors import DataError, OptionError, nearest

__all__ = ["RANGES", "PseudoInputs", "VampPrior"]

RANGES = ("hardtanh", "sigmoid", "none")
START_NOISE = 0.01  # of pseudo-inputs that start at data, as in the paper's code
MARGIN = 1e-3  # from 0 and 1, where a sigmoid's argument is infinite


class PseudoInputs(nn.Module):
    """Data that gradients make up, (M, *shape), starting at noise in every pixel.

        u_m = g(w_m), m = 1 .. M,   w_m ~ N(mean, std^2) at the start

    Args:
        num: M (K in the paper).
        shape: of a datum.
        bounds: g, which keeps them in [0, 1]: "hardtanh" (the paper's; no gradient outside) or "sigmoid"; "none" for data that
            may be any real.
        mean, std: of the start, in units of the data.

    References: Tomczak and Welling, VAE with a VampPrior, 2018, Section 3.

    >>> PseudoInputs(5, (2, 2))().shape
    torch.Size([5, 2, 2])
    """

    def __init__(
        self, num: int, shape: Sequence[int], bounds: str = "hardtanh", mean: float = 0.05, std: float = 0.01
    ) -> None:
        super().__init__()
        if num < 1:
            raise OptionError(f"pseudo_inputs is {num}; expected at least 1.")
        if bounds not in RANGES:
            raise nearest("pseudo_range", bounds, RANGES)
        self.bounds = bounds
        self.weight = nn.Parameter(self._inverse(mean + std * torch.randn(num, *shape)))

    def _inverse(self, u: Tensor) -> Tensor:
        return torch.logit(u.clamp(MARGIN, 1 - MARGIN)) if self.bounds == "sigmoid" else u

    @torch.no_grad()
    def start_at(self, x: Tensor) -> None:
        """Start at data, (M, *shape), plus noise of N(0, 0.01^2).

        Raises:
            DataError: x has another shape.
        """
        if x.shape != self.weight.shape:
            raise DataError(f"pseudo-inputs start at data of shape {tuple(self.weight.shape)}; got {tuple(x.shape)}.")
        self.weight.copy_(self._inverse(x + START_NOISE * torch.randn_like(self.weight)))

    def forward(self) -> Tensor:
        """The pseudo-inputs, (M, *shape)."""
        if self.bounds == "hardtanh":
            return hardtanh(self.weight, 0.0, 1.0)
        return self.weight.sigmoid() if self.bounds == "sigmoid" else self.weight


class VampPrior(nn.Module):
    """The mixture of the guide's Gaussians at M learned pseudo-inputs.

        p(z) = (1/M) sum_m q(z | u_m),   q(z | u_m) = N(z; mean(u_m), diag scale(u_m)^2)

    Called without arguments, gives that distribution of z, (d,); its ``log_prob`` is
    logsumexp_m log q(z | u_m) - log M, in nats. Its KL from a Gaussian has no closed form: objectives sample it.

    Args:
        encoder: x to (..., 2d), the means and the logarithms of the scales: the guide's own, so that its parameters are
            trained by both and count once.
        pseudo_inputs: gives u, (M, *shape).

    References: Tomczak and Welling, VAE with a VampPrior, 2018, Eq. (9).

    >>> from pyrovae.nets.mlp import MLPEncoder
    >>> VampPrior(MLPEncoder((2, 2), [8], 6), PseudoInputs(5, (2, 2)))().log_prob(torch.zeros(7, 3)).shape
    torch.Size([7])
    """

    def __init__(self, encoder: nn.Module, pseudo_inputs: PseudoInputs) -> None:
        super().__init__()
        self.encoder, self.pseudo_inputs = encoder, pseudo_inputs

    def forward(self) -> GaussianMixture:
        """p(z), the mixture at the present parameters."""
        u = self.pseudo_inputs()  # (M, *shape)
        mean, log_scale = (
            self.encoder(u).to(u.dtype).chunk(2, -1)
        )  # q(z | u_m); networks may compute in bf16, densities do not
        return GaussianMixture(mean, log_scale.exp())  # (1/M) sum_m q(z | u_m)
