"""Content of a group from all its data together, style from each alone."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
from torch import Tensor, nn

__all__ = ["ContentStyle"]


class ContentStyle(nn.Module):
    """q(c | x_1..n) prod_i q(s_i | x_i), q(c | x_1..n) put together of N(m_i, v_i), what each datum says of the content.

        product:    1/v = sum_i 1/v_i,  m = v sum_i m_i / v_i              (ML-VAE)
        average:    v = mean v_i,       m = mean m_i                       (GVAE)
        corrected:  1/v = sum_i 1/v_i - (n - 1),  m = v sum_i m_i / v_i    (each N(m_i, v_i) a posterior, 1/v_i > 1)

    The published product counts the prior n times, where the posterior of a group has it once; the corrected one does so.

    Sites: ``c``, (d_c,); ``s``, (n, d_s).

    Args:
        encoder: x_i to (..., 2 d_c + 2 d_s): m_i and log v_i / 2 of the content, the same of the style.
        content_dim: d_c.
        style_dim: d_s.
        combine: "product" or "average".
        prior_correction: whether the product has the prior once.

    References: Bouchacourt, Tomioka and Nowozin, Multi-Level Variational Autoencoder, 2018, Eq. (5); Hosoya, Group-based
    Learning of Disentangled Representations, 2019, Eq. (5).
    """

    def __init__(
        self, encoder: nn.Module, content_dim: int, style_dim: int, combine: str = "product", prior_correction: bool = False
    ) -> None:
        super().__init__()
        self.encoder, self.content_dim, self.style_dim = encoder, content_dim, style_dim
        self.combine, self.prior_correction = combine, prior_correction

    def content(self, loc: Tensor, log_scale: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and scale of the content, (..., d_c), of what each datum says, (..., n, d_c)."""
        if self.combine == "average":
            return loc.mean(-2), (2 * log_scale).exp().mean(-2).sqrt()
        more = (-2 * log_scale).exp()
        each = more + 1 if self.prior_correction else more
        precision = more.sum(-2) + 1 if self.prior_correction else more.sum(-2)
        return (each * loc).sum(-2) / precision, precision.rsqrt()

    def forward(self, x: Tensor) -> None:
        """Run the guide, q, on a batch of B groups, (B, n, *shape)."""
        sizes = [self.content_dim, self.content_dim, self.style_dim, self.style_dim]
        loc, log_scale, style, style_log_scale = self.encoder(x).split(sizes, -1)
        with pyro.plate("data", x.shape[0], dim=-1):
            pyro.sample("c", dist.Normal(*self.content(loc, log_scale)).to_event(1))
            pyro.sample("s", dist.Normal(style, style_log_scale.exp()).to_event(2))
