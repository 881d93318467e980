"""The posterior of a latent question, given its answer and whether it is relevant."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
from torch import Tensor, nn

from pyrovae.nets import JointMLP, SentenceEncoder, loc_and_scale

__all__ = ["NASMGuide"]


class NASMGuide(nn.Module):
    """q(h | question, answer, x) = N(h; posterior(q, a, x)); nothing to infer without a posterior.

    Site: ``h``, (d,).

    Args:
        encoder: words to a vector, the model's network.
        posterior: the vectors of question and answer, and x, to the mean and raw scale of h, (..., 2d); None without a latent.

    References: Miao, Yu and Blunsom, Neural Variational Inference for Text Processing, 2016, Section 4.
    """

    def __init__(self, encoder: SentenceEncoder, posterior: JointMLP | None) -> None:
        super().__init__()
        self.encoder, self.posterior = encoder, posterior

    def forward(self, x: Tensor, question: Tensor, answer: Tensor) -> None:
        """Run the guide, q, on a batch of B questions with an answer each."""
        if self.posterior is None:
            return
        features = self.posterior(self.encoder(question)[1], self.encoder(answer)[1], x.unsqueeze(-1))
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("h", dist.Normal(*loc_and_scale(features)).to_event(1))
