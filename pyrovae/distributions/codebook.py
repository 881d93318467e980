"""Codebooks: latents that are codewords, the nearest ones to what an encoder gives, and their uniform prior."""

from __future__ import annotations

import math

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor, nn
from torch.distributions import constraints

from pyrovae.distributions.autoregressive import AutoregressiveCategorical
from pyrovae.errors import OptionError

__all__ = ["Codebook", "CodebookPrior", "Quantized"]


class _Codewords(constraints.Constraint):
    """Sums of codewords, one of each quantizer, at each place."""

    is_discrete = True
    event_dim = 2

    def check(self, value: Tensor) -> Tensor:
        """Whether values are finite; that they are codewords is the codebook's to see to."""
        return value.isfinite().all(-1).all(-1)


class Codebook(nn.Module):
    """Q x K codewords of D numbers, which follow what they are nearest to by moving averages, without a gradient.

        n_k <- a n_k + (1 - a) |S_k|,   m_k <- a m_k + (1 - a) sum of S_k,   e_k <- m_k / n_k

    S_k are the encoded vectors of a batch whose nearest codeword is e_k, a the decay: with a = 0 a step of k-means. Codewords
    that fall below ``restart`` of the mean count begin anew at encoded vectors of the batch. The q-th quantizer has what the
    first q - 1 leave over (residual quantization).

    Args:
        num_codes: K.
        code_dim: D.
        num_quantizers: Q.
        decay: a.
        restart: share of the mean count under which a codeword is dead; 0 never restarts one.

    References: van den Oord, Vinyals and Kavukcuoglu, Neural Discrete Representation Learning, 2017, appendix A.1; Zeghidour
    et al., SoundStream, 2021, Section III.C (residuals, restarts).
    """

    codes: Tensor
    counts: Tensor
    sums: Tensor

    def __init__(
        self, num_codes: int, code_dim: int, num_quantizers: int = 1, decay: float = 0.99, restart: float = 0.01
    ) -> None:
        super().__init__()
        for name, number in (("num_codes", num_codes), ("code_dim", code_dim), ("num_quantizers", num_quantizers)):
            if number < 1:
                raise OptionError(f"{name} is {number}; expected a whole number of at least 1.")
        for name, share in (("decay", decay), ("restart", restart)):
            if not 0 <= share < 1:
                raise OptionError(f"{name} is {share}; expected a number from 0 to below 1.")
        self.decay, self.restart = decay, restart
        self.register_buffer("codes", torch.randn(num_quantizers, num_codes, code_dim))
        self.register_buffer("counts", torch.zeros(num_quantizers, num_codes))  # so that the first batch places them all
        self.register_buffer("sums", torch.zeros(num_quantizers, num_codes, code_dim))

    def nearest(self, encoded: Tensor) -> Tensor:
        """The number of the nearest codeword to what the quantizers before leave over, (..., P, Q) of (..., P, D)."""
        left, chosen = encoded.detach(), []
        for codes in self.codes.unbind(0):
            index = (codes.square().sum(-1) - 2 * left @ codes.T).argmin(-1)
            chosen.append(index)
            left = left - codes[index]
        return torch.stack(chosen, -1)

    def words(self, index: Tensor) -> Tensor:
        """The sums of the codewords of these numbers, (..., P, D) of (..., P, Q)."""
        picked = [codes[i] for codes, i in zip(self.codes.unbind(0), index.unbind(-1), strict=True)]
        return torch.stack(picked).sum(0)

    @torch.no_grad()
    def next_state(self, encoded: Tensor) -> dict[Tensor, Tensor]:
        """The buffers after a batch of encoded vectors, (..., D)."""
        left, made = encoded.detach().reshape(-1, encoded.shape[-1]), []
        for codes, counts, sums in zip(self.codes.unbind(0), self.counts.unbind(0), self.sums.unbind(0), strict=True):
            index = (codes.square().sum(-1) - 2 * left @ codes.T).argmin(-1)
            hits = (index.unsqueeze(-1) == torch.arange(len(codes), device=codes.device)).to(left.dtype)
            counts = torch.lerp(hits.sum(0), counts, self.decay)
            sums = torch.lerp(hits.T @ left, sums, self.decay)
            mean = len(left) / len(codes)
            dead = (counts < self.restart * mean).unsqueeze(-1) if self.restart else counts.unsqueeze(-1) < 0
            fresh = left[torch.randint(len(left), (len(codes),), device=left.device)]
            counts = torch.where(dead.squeeze(-1), mean, counts)
            sums = torch.where(dead, fresh * mean, sums)
            moved = sums / counts.clamp_min(1e-8).unsqueeze(-1)
            made.append((torch.where(counts.unsqueeze(-1) > 0, moved, codes), counts, sums))
            left = left - codes[index]
        codes, counts, sums = (torch.stack(parts) for parts in zip(*made, strict=True))
        return {self.codes: codes, self.counts: counts, self.sums: sums}


class Quantized(TorchDistribution):
    """All mass on the codewords nearest to what an encoder gives, at each of P places: a point of a discrete set.

        z = e(x) + sg(nearest(e(x)) - e(x)),   log q(z | x) = 0 nats

    The draw is the codeword, and the encoder gets the gradient that the decoder has there (straight through).

    Args:
        codebook: the codewords.
        encoded: e(x), (*batch_shape, P, D).
        still: whether the codewords stay where they are, in a stage after the one that trained them.

    References: van den Oord et al., Neural Discrete Representation Learning, 2017, Eq. (1) and (2).

    >>> Quantized(Codebook(8, 2), torch.zeros(5, 3, 2)).log_prob(torch.zeros(5, 3, 2)).shape
    torch.Size([5])
    """

    arg_constraints: dict[str, constraints.Constraint] = {}
    support = _Codewords()
    has_rsample = True

    def __init__(self, codebook: Codebook, encoded: Tensor, own: Tensor | None = None, still: bool = False) -> None:
        self.codebook, self.encoded, self.still = codebook, encoded, still
        self._own = encoded if own is None else own  # a row a datum, whatever it is expanded to
        super().__init__(encoded.shape[:-2], encoded.shape[-2:], validate_args=False)

    def expand(self, batch_shape: torch.Size, _instance: TorchDistribution | None = None) -> Quantized:
        """The same distribution with this batch shape."""
        return Quantized(self.codebook, self.encoded.expand(*batch_shape, *self.event_shape), self._own, self.still)

    def rsample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008 - Pyro's signature
        """The codewords, (*sample_shape, *batch_shape, P, D)."""
        encoded = self.encoded.expand(*sample_shape, *self.encoded.shape)
        return encoded + (self.codebook.words(self.codebook.nearest(self._own)) - encoded).detach()

    def log_prob(self, value: Tensor) -> Tensor:
        """0 of the one value that it has, (*batch_shape)."""
        return value.new_zeros(torch.broadcast_shapes(value.shape[:-2], self.batch_shape))

    @property
    def commitment(self) -> Tensor:
        """||e(x) - sg(z)||^2 at all places together, (*batch_shape): how far the encoder is from its codewords."""
        return (self.encoded - self.codebook.words(self.codebook.nearest(self._own)).detach()).square().sum((-2, -1))

    def next_state(self, value: Tensor) -> dict[Tensor, Tensor]:
        """Where the codewords go in this step of training."""
        return {} if self.still else self.codebook.next_state(self._own)


class CodebookPrior(TorchDistribution):
    """Codewords at P places, (*batch_shape, P, D): drawn uniformly, or each place given those before it.

        log p(z | c) = -P Q log K,   or   sum_p log softmax(f_p(i_1, ..., i_p-1, c))[i_p],   a mass in nats, (*batch_shape)

    Args:
        codebook: the codewords.
        num_places: P.
        batch_shape: of independent draws.
        network: f, causal from one-hot numbers of codewords, (..., P, K), to (..., P, K), of one quantizer; None for uniform.
        context: c of each datum, (*batch_shape, C), that the network takes too, as the codewords of a level above; or None.

    References: van den Oord et al., Neural Discrete Representation Learning, 2017, Section 3.3; Razavi, van den Oord and
    Vinyals, Generating Diverse High-Fidelity Images with VQ-VAE-2, 2019, Section 3.2 (context).
    """

    arg_constraints: dict[str, constraints.Constraint] = {}
    support = _Codewords()

    def __init__(
        self,
        codebook: Codebook,
        num_places: int,
        batch_shape: torch.Size = torch.Size(),  # noqa: B008 - Pyro's signature
        network: nn.Module | None = None,
        context: Tensor | None = None,
    ) -> None:
        self.codebook, self.num_places, self.network, self.context = codebook, num_places, network, context
        if network is not None and len(codebook.codes) > 1:
            raise OptionError(
                f"the codebook has {len(codebook.codes)} quantizers, whose sums do not tell their numbers, so a network of "
                "places cannot score them; take num_quantizers=1, or the uniform prior."
            )
        event = torch.Size([num_places, codebook.codes.shape[-1]])
        own = torch.Size() if context is None else context.shape[:-1]
        super().__init__(torch.broadcast_shapes(batch_shape, own), event, validate_args=False)

    def expand(self, batch_shape: torch.Size, _instance: TorchDistribution | None = None) -> CodebookPrior:
        """The same distribution with this batch shape."""
        context = None if self.context is None else self.context.expand(*batch_shape, self.context.shape[-1])
        return CodebookPrior(self.codebook, self.num_places, torch.Size(batch_shape), self.network, context)

    def numbers(self, network: nn.Module, batch_shape: torch.Size = torch.Size()) -> TorchDistribution:  # noqa: B008
        """The distribution of the codewords' numbers, (*batch_shape, P)."""
        fn = AutoregressiveCategorical(network, (self.num_places,), self.context)
        return fn.expand(torch.broadcast_shapes(batch_shape, fn.batch_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        """The log mass of codewords, (*batch_shape)."""
        if self.network is not None:
            scores: Tensor = self.numbers(self.network).log_prob(self.codebook.nearest(value)[..., 0])
            return scores.expand(torch.broadcast_shapes(value.shape[:-2], self.batch_shape))
        num_quantizers, num_codes, _ = self.codebook.codes.shape
        shape = torch.broadcast_shapes(value.shape[:-2], self.batch_shape)
        return value.new_full(shape, -self.num_places * num_quantizers * math.log(num_codes))

    @torch.no_grad()
    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008 - Pyro's signature
        """Codewords, (*sample_shape, *batch_shape, P, D)."""
        if self.network is not None:
            drawn = self.numbers(self.network, self.batch_shape).sample(torch.Size(sample_shape))
            return self.codebook.words(drawn.unsqueeze(-1))
        num_quantizers, num_codes, _ = self.codebook.codes.shape
        shape = (*sample_shape, *self.batch_shape, self.num_places, num_quantizers)
        return self.codebook.words(torch.randint(num_codes, shape, device=self.codebook.codes.device))
