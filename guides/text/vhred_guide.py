"""The posterior of a latent for each utterance, in steps."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
from torch import Tensor, nn

from pyrovae.nets import SentenceEncoder, loc_and_scale

__all__ = ["VHREDGuide"]


class VHREDGuide(nn.Module):
    """q(z | x) = prod_n N(z_n; posterior(encoder(x_n), h_n-1)), h the model's; nothing to infer without a posterior.

    Site of a step: ``z``, (d,).

    Args:
        encoder: words to a vector, the model's network.
        posterior: that vector and h to the mean and raw scale of z_n, (..., 2d); None for HRED.

    References: Serban et al., A Hierarchical Latent Variable Encoder-Decoder Model for Generating Dialogues, 2017, Section 3.
    """

    def __init__(self, encoder: SentenceEncoder, posterior: nn.Module | None) -> None:
        super().__init__()
        self.encoder, self.posterior = encoder, posterior

    def init(self, x: Tensor) -> dict[str, dict[str, Tensor]]:
        """No state, but the vector of each utterance, (B, n, hidden), where there is something to infer."""
        return {} if self.posterior is None else {"each": {"utterance": self.encoder(x)[1]}}

    def step(self, state: dict[str, Tensor], x: Tensor) -> dict[str, Tensor]:
        """One step of the guide, q, on utterance x_n, (B, T)."""
        if self.posterior is not None:
            features = self.posterior(state["utterance"], state["h"])
            pyro.sample("z", dist.Normal(*loc_and_scale(features)).to_event(1))
        return {}
