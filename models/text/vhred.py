"""The generative model of dialogues with a latent for each utterance, in steps."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn

from pyrovae.distributions import Sentences
from pyrovae.nets import Recurrent, SentenceEncoder, WordDecoder, loc_and_scale

__all__ = ["VHRED"]


class VHRED(nn.Module):
    """p(x, z) = prod_n N(z_n; prior(h_n-1)) p(x_n | h_n-1, z_n),   h_n = GRU(h_n-1, encoder(x_n)), h_0 = 0.

    x_n are the words of utterance n, up to its first word 0. Without a prior there is no z, which is HRED.

    Sites of a step: ``z``, (d,); ``x``, (T,).

    Args:
        encoder: words to a vector.
        context: from those vectors to h.
        decoder: words before, and (h, z) or h, to logits.
        num_steps: T.
        prior: h to the mean and raw scale of z_n, (..., 2d); None for HRED.

    References: Serban et al., A Hierarchical Latent Variable Encoder-Decoder Model for Generating Dialogues, 2017, Section 3.
    """

    def __init__(
        self, encoder: SentenceEncoder, context: Recurrent, decoder: WordDecoder, num_steps: int, prior: nn.Module | None
    ) -> None:
        super().__init__()
        self.encoder, self.context, self.decoder, self.prior = encoder, context, decoder, prior
        self.words_of_utterance = num_steps

    def init(self, x: Tensor) -> dict[str, Tensor]:
        """h_0, (B, hidden)."""
        weight = self.decoder.out.weight
        return {"h": weight.new_zeros(len(x), self.context.hidden)}

    def step(self, state: dict[str, Tensor], x: Tensor) -> dict[str, Tensor]:
        """One step of the model, p, on utterance x_n, (B, T)."""
        h = state["h"]
        context = h
        if self.prior is not None:
            z = pyro.sample("z", dist.Normal(*loc_and_scale(self.prior(h))).to_event(1))
            lead = torch.broadcast_shapes(h.shape[:-1], z.shape[:-1])
            context = torch.cat([h.expand(*lead, -1), z.expand(*lead, -1)], -1)
        x = pyro.sample("x", Sentences(self.decoder, (self.words_of_utterance,), context), obs=x)
        return {"h": self.context.step(h, self.encoder(x)[1])}
