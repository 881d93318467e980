"""The generative model of relevance: a latent question attends to the words of an answer."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn

from pyrovae.nets import SentenceEncoder, loc_and_scale

__all__ = ["NASM"]


class NASM(nn.Module):
    """p(x, h | question, answer) = N(h; prior(q)) Bernoulli(x; sigmoid(q . M tanh(W [c, a]) + b)), x: is the answer relevant.

        c = sum_i softmax_i(v . tanh(U e_i + V h)) e_i,   e_i the states of the answer's words

    q and a are the vectors of question and answer. Without a latent h is the prior's mean, and attention is as it was before.

    Sites: ``h``, (d,); ``x``, 0 or 1.

    Args:
        encoder: words to states and a vector, of both sentences.
        prior: q to the mean and raw scale of h, (..., 2d).
        latent_dim: d.
        hidden: size of the attention's layer and of the answer's vector.
        latent: whether h is drawn.

    References: Miao, Yu and Blunsom, Neural Variational Inference for Text Processing, 2016, Section 4.
    """

    def __init__(self, encoder: SentenceEncoder, prior: nn.Module, latent_dim: int, hidden: int, latent: bool = True) -> None:
        super().__init__()
        size = encoder.out_features
        self.encoder, self.prior, self.latent = encoder, prior, latent
        self.of_word, self.of_latent = nn.Linear(size, hidden), nn.Linear(latent_dim, hidden, bias=False)
        self.score, self.join = nn.Linear(hidden, 1, bias=False), nn.Linear(2 * size, hidden)
        self.match, self.bias = nn.Linear(hidden, size, bias=False), nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor, question: Tensor, answer: Tensor) -> None:
        """Run the model, p, on a batch of B questions with an answer each."""
        (_, q), (states, a) = self.encoder(question), self.encoder(answer)
        loc, scale = loc_and_scale(self.prior(q))
        with pyro.plate("data", len(x), dim=-1):
            h = pyro.sample("h", dist.Normal(loc, scale).to_event(1)) if self.latent else loc
            weights = self.attention(states, h, self.encoder.here(answer))
            found = (weights.unsqueeze(-1) * states).sum(-2)
            joined = self.join(torch.cat([found, a.expand(found.shape)], -1)).tanh()
            logits = (self.match(joined) * q).sum(-1) + self.bias
            pyro.sample("x", dist.Bernoulli(logits=logits), obs=x)

    def attention(self, states: Tensor, h: Tensor, here: Tensor) -> Tensor:
        """The weight of each word of the answer, (..., S), 0 after its end."""
        scores = self.score((self.of_word(states) + self.of_latent(h).unsqueeze(-2)).tanh()).squeeze(-1)
        return torch.where(here, scores, -torch.inf).softmax(-1)
