"""The codewords of a VQ-VAE, and its second stage: a prior of their numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import nn

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.distributions import Codebook
from pyrovae.errors import OptionError, UnusedOptionError
from pyrovae.nets import CausalRNN, GuidedMaskedConv, MaskedConv
from pyrovae.parts.options import Options

__all__ = ["CodePrior", "Codewords"]


@dataclass(frozen=True, kw_only=True)
class Codewords(Options):
    """The codewords of a VQ-VAE, and how they move.

    Attributes:
        num_codes: K, codewords of a quantizer, which all places share.
        code_dim: D, numbers of a codeword.
        num_quantizers: Q; each has what those before it leave over.
        decay: of the moving averages that codewords follow.
        restart: share of the mean use under which a codeword begins anew.
    """

    num_codes: int = 32
    code_dim: int = 8
    num_quantizers: int = 1
    decay: float = 0.99
    restart: float = 0.01

    def codebook(self) -> Codebook:
        """The codewords."""
        return Codebook(self.num_codes, self.code_dim, self.num_quantizers, self.decay, self.restart)


@dataclass(frozen=True, kw_only=True)
class CodePrior(Options):
    """The prior of a VQ-VAE's codewords.

    Attributes:
        prior: 'uniform'; or 'recurrent' or 'convolution' (of places of a grid), each place given those before it, learned in a
            second stage in which the rest stands still. Of two grids the lower one's places are also given all of the upper.
        prior_hidden: size of an LSTM's state, or channels of the masked convolutions; 64 by default.
    """

    prior: Literal["uniform", "recurrent", "convolution"] = "uniform"
    prior_hidden: int | None = None

    def network(self, num_codes: int, places: int | tuple[int, int]) -> nn.Module:
        """Causal from one-hot numbers of codewords to logits."""
        hidden = self.prior_hidden or 64
        if self.prior == "recurrent":
            return CausalRNN(num_codes, hidden, num_codes)
        if isinstance(places, int):
            raise OptionError("prior 'convolution' is for places of a grid, as conv-vq-vae has; use prior='recurrent'.")
        return MaskedConv(places, hidden, num_codes, step_dim=num_codes)

    @property
    def learned(self) -> bool:
        """Whether there is a second stage."""
        if self.prior == "uniform" and self.prior_hidden is not None:
            raise UnusedOptionError(
                f"prior_hidden is {self.prior_hidden!r}, and the uniform prior has no network; leave it out, or take "
                "prior='recurrent'.",
                "prior_hidden",
            )
        return self.prior != "uniform"

    def second_stage(self, first: Pair, places: int | tuple[int, int]) -> Pair:
        """The pair of the learned prior, on the one of the first stage."""
        model, guide = first.model, first.guide
        assert isinstance(model, models.VQVAE) and isinstance(guide, guides.VQVAEGuide)
        network = self.network(model.codebook.codes.shape[1], places)
        second = models.VQVAE(model.decoder, model.likelihood, model.codebook, model.num_places, network)
        still = guides.VQVAEGuide(guide.encoder, guide.codebook, guide.num_places, still=True)
        return Pair(second, still, "elbo", stages=(first,))

    def second_stage_of_two(self, first: Pair, grids: tuple[tuple[int, int], tuple[int, int]]) -> Pair:
        """The pair of the learned priors of two grids, the bottom one's codewords given the top one's."""
        model, guide = first.model, first.guide
        assert isinstance(model, models.VQVAE2) and isinstance(guide, guides.VQVAE2Guide)
        books, hidden = list(model.codebooks), self.prior_hidden or 64
        _, num_codes, size = books[0].codes.shape
        below: nn.Module
        if self.prior == "recurrent":
            below = CausalRNN(num_codes, hidden, num_codes, context_dim=size * model.num_places[1])
        else:
            below = GuidedMaskedConv(grids[0], hidden, num_codes, size)
        priors = below, self.network(num_codes, grids[1])
        second = models.VQVAE2(model.decoder, model.likelihood, books, model.num_places, priors)
        still = guides.VQVAE2Guide(guide.encoder, guide.top, guide.bottom, books, guide.num_places, still=True)
        return Pair(second, still, "elbo", stages=(first,))
