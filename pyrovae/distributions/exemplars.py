"""The exemplar prior p(z): a Gaussian at the code of every training datum."""

from __future__ import annotations

import math

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor, nn
from torch.distributions import constraints
from torch.utils.checkpoint import checkpoint

__all__ = ["ExemplarPrior", "Exemplars"]

CHUNK = 2**20  # terms of the sum that are held at once, which fit into a cache
LEFT_OUT = -1e300  # a term that adds nothing; -inf would have no gradient where it is a part's only one


class Exemplars(TorchDistribution):
    """Gaussians of one variance at the codes m_n of N training data; a datum that is one of them is left out of its own prior.

        p(z_b) = 1/(N - 1) sum_{n != row_b} N(z_b; m_n, s^2 I),   or 1/N sum_n where row_b = -1
        p(z_b) >= 1/(N - 1) sum_{n in near(b)} N(z_b; e_bn, s^2 I)                      where ``near`` is given

    The sum over all is exact, in parts that fit into memory; that over neighbours leaves terms out, and so bounds it from
    below. Draws are of the sum over all, without a gradient. ``log_prob`` is in nats, (*batch_shape).

    Args:
        codes: m, (N, d).
        log_scale: log s, 0-d.
        row: which of the N each datum of the batch is, (B,); -1 for data that are none of them.
        near: e, codes of the neighbours of each datum, (B, k, d), itself not among them.
        state: buffer -> its value after the step, what :meth:`next_state` gives.

    References: Norouzi, Fleet and Norouzi, Exemplar VAE, 2020, Eq. (6) and Section 3.2.

    >>> codes = torch.tensor([[-1.0], [0.0], [1.0]])
    >>> Exemplars(codes, torch.zeros(()), torch.tensor([1, -1])).log_prob(torch.zeros(2, 1)).exp()
    tensor([0.2420, 0.2943])
    """

    arg_constraints: dict[str, constraints.Constraint] = {}
    support = constraints.real_vector

    def __init__(
        self,
        codes: Tensor,
        log_scale: Tensor,
        row: Tensor | None = None,
        near: Tensor | None = None,
        state: dict[Tensor, Tensor] | None = None,
        batch_shape: torch.Size | None = None,
    ) -> None:
        self.codes, self.log_scale, self.row, self.near, self._state = codes, log_scale, row, near, state or {}
        shape = torch.Size([] if row is None else row.shape) if batch_shape is None else torch.Size(batch_shape)
        super().__init__(shape, codes.shape[1:], validate_args=False)

    def expand(self, batch_shape: torch.Size, _instance: TorchDistribution | None = None) -> Exemplars:
        """The same distribution with this batch shape."""
        return Exemplars(self.codes, self.log_scale, self.row, self.near, self._state, torch.Size(batch_shape))

    @torch.no_grad()
    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008 - Pyro's signature
        """A draw of any of the N Gaussians, (*sample_shape, *batch_shape, d)."""
        shape = torch.Size(sample_shape) + self.batch_shape
        loc = self.codes[torch.randint(len(self.codes), shape, device=self.codes.device)]
        return loc + self.log_scale.exp() * torch.randn_like(loc)

    def log_prob(self, value: Tensor) -> Tensor:
        """log p(value), (*batch_shape), in nats."""
        num, d = self.codes.shape
        if self.near is None:
            lead = torch.broadcast_shapes(value.shape[:-1], () if self.row is None else self.row.shape)
            total = self._over_all(value.expand(*lead, d))
            others = num if self.row is None else num - (self.row >= 0).to(value.dtype)
        else:
            squares = (value.unsqueeze(-2) - self.near).square().sum(-1)
            total, others = (-0.5 * squares * (-2 * self.log_scale).exp()).logsumexp(-1), num - 1
        log_others = others.log() if isinstance(others, Tensor) else math.log(others)
        log_prob = total - log_others - d * (self.log_scale + 0.5 * math.log(2 * math.pi))
        return log_prob.expand(torch.broadcast_shapes(log_prob.shape, self.batch_shape))

    def _over_all(self, z: Tensor) -> Tensor:
        """logsumexp_n -|z - m_n|^2 / 2 s^2 over all n but the datum itself, (..., B)."""
        size = max(1, CHUNK // max(1, z[..., 0].numel()))
        centre, parts, dtype = self.codes.double().mean(0), [], z.dtype
        z = z.double() - centre
        for start in range(0, len(self.codes), size):
            codes = self.codes[start : start + size].double() - centre
            if torch.is_grad_enabled() and len(self.codes) > size:
                parts.append(checkpoint(self._part, z, codes, start, use_reentrant=False))
            else:
                parts.append(self._part(z, codes, start))
        return torch.stack(parts).logsumexp(0).to(dtype)

    def _part(self, z: Tensor, m: Tensor, start: int) -> Tensor:
        """logsumexp_n (z'm_n - |m_n|^2 / 2) / s^2 - |z|^2 / 2 s^2, in float64, since terms cancel."""
        precision = (-2 * self.log_scale.double()).exp()
        flat = torch.addmm(-0.5 * precision * m.square().sum(-1), z.flatten(0, -2) * precision, m.T)
        terms = flat.view(*z.shape[:-1], len(m))
        if self.row is not None:
            own = self.row.unsqueeze(-1) == torch.arange(start, start + len(m), device=z.device)
            terms = terms.masked_fill(own, LEFT_OUT)
        return terms.logsumexp(-1) - 0.5 * precision * z.square().sum(-1)

    def next_state(self, value: Tensor) -> dict[Tensor, Tensor]:
        """The memory of codes after this step of training."""
        return self._state


class ExemplarPrior(nn.Module):
    """The codes of all training data, which the guide's encoder writes as it sees them, and the scale they share.

        in training    1/(N - 1) sum_{n in near(b)} N(z; m(x_n), s^2 I),   m(x_n) by the present encoder, with its gradient
        in evaluation  the exact sum over the N codes of memory, a datum of training left out of its own prior

    so that evaluation is of one model, whose codes are those that each datum had when it was last seen in training.

    Args:
        encoder: x to (..., 2d), whose first half are means: the guide's own, so that its parameters count once.
        num_exemplars: N.
        latent_dim: d.

    References: Norouzi, Fleet and Norouzi, Exemplar VAE, 2020, Section 3.
    """

    codes: Tensor

    def __init__(self, encoder: nn.Module, num_exemplars: int, latent_dim: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.log_scale = nn.Parameter(torch.zeros(()))
        self.register_buffer("codes", torch.zeros(num_exemplars, latent_dim))

    def forward(self, x: Tensor, neighbours: Tensor | None = None, row: Tensor | None = None) -> Exemplars:
        """p(z), for each of a batch, x (B, *shape) with neighbours (B, k, *shape), the row-th of the training data, (B,)."""
        if not self.training or neighbours is None or row is None:
            return Exemplars(self.codes, self.log_scale, row)
        d = self.codes.shape[1]
        means = self.encoder(torch.cat([x.unsqueeze(1), neighbours], 1))[..., :d].to(self.codes.dtype)  # (B, 1 + k, d)
        return Exemplars(self.codes, self.log_scale, row, means[:, 1:], {self.codes: self.written(row, means[:, 0].detach())})

    @torch.no_grad()
    def written(self, row: Tensor, codes: Tensor) -> Tensor:
        """The memory with the codes of these rows, (N, d); those of row -1 are not of the training data."""
        at = row.clamp_min(0)
        seen = (row >= 0).unsqueeze(-1)
        return self.codes.index_put((at,), torch.where(seen, codes, self.codes[at]))
