"""Priors of codes that are given the code of another datum: the mixture over all of them, and the nearest alone."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import torch
from pyro.distributions import Normal, TorchDistribution
from torch import Tensor, nn
from torch.distributions import constraints

from pyrovae.distributions.exemplars import CHUNK, LEFT_OUT
from pyrovae.errors import OptionError

__all__ = ["CodeMixture", "NeighbourPrior"]


class CodeMixture(TorchDistribution):
    """A mixture over the codes c_n of N training data, of whose n-th a network makes a Gaussian; a datum's own is left out.

        p(z_b) = 1/(N - 1) sum_{n != row_b} p(z_b | c_n),   or 1/N sum_n where row_b = -1
        log p(z_b) >= (1/k) sum_{n in near(b)} log p(z_b | c_n) - log((N - 1) / k)        where ``near`` is given

    The sum over all is exact, in parts that fit into memory. With neighbours it is what an associative compression network
    pays for z when one of them, drawn at random, is told beforehand, and the most that telling it costs. ``log_prob`` is in
    nats, (*batch_shape). Draws are of the mixture over all, without a gradient.

    Args:
        codes: c, (N, d).
        network: c to the mean and scale of p(z | c), (..., d) each.
        row: which of the N each datum of the batch is, (B,); -1 for data that are none of them.
        near: numbers of the neighbours of each datum, (B, k), itself not among them.
        state: buffer -> its value after the step, what :meth:`next_state` gives.

    References: Graves, Menick and van den Oord, Associative Compression Networks for Representation Learning, 2018, Section 3.

    >>> mixture = CodeMixture(torch.tensor([[-1.0], [0.0], [1.0]]), lambda c: (c, torch.ones_like(c)), torch.tensor([1, -1]))
    >>> mixture.log_prob(torch.zeros(2, 1)).exp()
    tensor([0.2420, 0.2943])
    """

    arg_constraints: dict[str, constraints.Constraint] = {}
    support = constraints.real_vector

    def __init__(
        self,
        codes: Tensor,
        network: Any,
        row: Tensor | None = None,
        near: Tensor | None = None,
        state: dict[Tensor, Tensor] | None = None,
        batch_shape: torch.Size | None = None,
    ) -> None:
        self.codes, self.network, self.row, self.near, self._state = codes, network, row, near, state or {}
        shape = torch.Size([] if row is None else row.shape) if batch_shape is None else torch.Size(batch_shape)
        super().__init__(shape, codes.shape[1:], validate_args=False)

    def expand(self, batch_shape: torch.Size, _instance: TorchDistribution | None = None) -> CodeMixture:
        """The same distribution with this batch shape."""
        return CodeMixture(self.codes, self.network, self.row, self.near, self._state, torch.Size(batch_shape))

    @cached_property
    def components(self) -> tuple[Tensor, Tensor]:
        """Mean and scale of p(z | c_n) of all n, (N, d) each."""
        loc, scale = self.network(self.codes)
        return loc, scale

    @torch.no_grad()
    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008 - Pyro's signature
        """A draw of any of the N Gaussians, (*sample_shape, *batch_shape, d)."""
        shape = torch.Size(sample_shape) + self.batch_shape
        chosen = torch.randint(len(self.codes), shape, device=self.codes.device)
        loc, scale = self.network(self.codes[chosen])
        return loc + scale * torch.randn_like(loc)

    def log_prob(self, value: Tensor) -> Tensor:
        """log p(value), (*batch_shape), in nats; a lower bound where there are neighbours."""
        others = len(self.codes) - (0 if self.row is None else (self.row >= 0).to(value.dtype))
        log_others = others.log() if isinstance(others, Tensor) else math.log(others)
        if self.near is None:
            log_prob = self._over_all(value) - log_others
        else:
            log_prob = -self.cost(value) - log_others + math.log(self.near.shape[-1])
        return log_prob.expand(torch.broadcast_shapes(log_prob.shape, self.batch_shape))

    def cost(self, value: Tensor) -> Tensor:
        """-(1/k) sum_{n in near(b)} log p(value_b | c_n), (*batch_shape), nats: of z where a neighbour is told. No bound."""
        assert self.near is not None
        loc, scale = self.network(self.codes[self.near])
        scores: Tensor = Normal(loc, scale, validate_args=False).log_prob(value.unsqueeze(-2)).sum(-1)
        return -scores.mean(-1)

    def _over_all(self, z: Tensor) -> Tensor:
        """log sum_n p(z | c_n) over all n but the datum itself, (..., B), in float64, since terms of squares cancel."""
        lead = torch.broadcast_shapes(z.shape[:-1], () if self.row is None else self.row.shape)
        z, dtype = z.expand(*lead, z.shape[-1]).double(), z.dtype
        loc, scale = (each.double() for each in self.components)
        centre, size, parts = loc.mean(0), max(1, CHUNK // max(1, z[..., 0].numel())), []
        z = z - centre
        for start in range(0, len(loc), size):
            m, precision = loc[start : start + size] - centre, scale[start : start + size].square().reciprocal()
            squares = z.square() @ precision.mT - 2 * z @ (m * precision).mT + (m.square() * precision).sum(-1)
            terms = -0.5 * squares - scale[start : start + size].log().sum(-1)
            if self.row is not None:
                own = self.row.unsqueeze(-1) == torch.arange(start, start + len(m), device=z.device)
                terms = terms.masked_fill(own, LEFT_OUT)
            parts.append(terms.logsumexp(-1))
        total = torch.stack(parts).logsumexp(0) - 0.5 * math.log(2 * math.pi) * z.shape[-1]
        return total.to(dtype)

    def next_state(self, value: Tensor) -> dict[Tensor, Tensor]:
        """The table of codes after this step of training."""
        return self._state


class NeighbourPrior(nn.Module):
    """The table of the codes of all training data, written by the guide's encoder as it sees them, and what one tells.

        in training    (1/k) sum_{n in near(b)} log p(z_b | c_n) - log((N - 1) / k),   near(b) the k codes nearest to m(x_b)
        in evaluation  the exact mixture over the N codes, a datum of training left out of its own prior

    so that both are bounds on one density, the first from below; without its last term, it is the paper's cost, which is none:
    the neighbour was chosen with x in hand. Each code is as old as the step that saw its datum last, an epoch at most, and a
    draw of N(0, I) before the first; a datum's own code is never its neighbour.

    Args:
        encoder: m, x to (..., d): the guide's own, so that its parameters count once.
        network: a code to the parameters of p(z | c), (..., 2d).
        split: those to a mean and a scale, (..., d) each.
        num_codes: N.
        latent_dim: d.
        num_neighbours: k.

    References: Graves, Menick and van den Oord, Associative Compression Networks, 2018, Section 3 and Algorithm 1.
    """

    codes: Tensor

    def __init__(
        self, encoder: nn.Module, network: nn.Module, split: Any, num_codes: int, latent_dim: int, num_neighbours: int = 5
    ) -> None:
        super().__init__()
        if not 1 <= num_neighbours < num_codes:
            raise OptionError(f"num_neighbours is {num_neighbours}; expected fewer than the {num_codes} training data.")
        self.encoder, self.network, self.split, self.num_neighbours = encoder, network, split, num_neighbours
        self.register_buffer("codes", torch.randn(num_codes, latent_dim))

    def given(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and scale of p(z | c) at codes, (..., d) each."""
        loc, scale = self.split(self.network(codes))
        return loc, scale

    @torch.no_grad()
    def nearest(self, codes: Tensor, row: Tensor) -> Tensor:
        """Numbers of the k codes of the table nearest to these, (B, k), those of the rows themselves left out."""
        distance = self.codes.square().sum(-1) - 2 * codes @ self.codes.mT
        own = row.unsqueeze(-1) == torch.arange(len(self.codes), device=row.device)
        return distance.masked_fill(own, torch.inf).topk(self.num_neighbours, largest=False).indices

    def forward(self, x: Tensor, row: Tensor | None = None) -> CodeMixture:
        """p(z), for each of a batch, x (B, *shape), the row-th of the training data, (B,)."""
        if not self.training or row is None:
            return CodeMixture(self.codes, self.given, row)
        code = self.encoder(x).detach().to(self.codes.dtype)
        return CodeMixture(self.codes, self.given, row, self.nearest(code, row), {self.codes: self.written(row, code)})

    def near(self, x: Tensor, row: Tensor) -> CodeMixture:
        """p(z) where the nearest codes are told, in training or not: what :meth:`CodeMixture.cost` needs."""
        return CodeMixture(self.codes, self.given, row, self.nearest(self.encoder(x).to(self.codes.dtype), row))

    @torch.no_grad()
    def written(self, row: Tensor, codes: Tensor) -> Tensor:
        """The table with the codes of these rows, (N, d); those of row -1 are not of the training data."""
        at = row.clamp_min(0)
        seen = (row >= 0).unsqueeze(-1)
        return self.codes.index_put((at,), torch.where(seen, codes, self.codes[at]))
