"""From shares of topics to the logarithms of the probabilities of words."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["TopicMixture", "TopicProduct"]


class TopicMixture(nn.Module):
    """log sum_k theta_k softmax(B_k)_v: shares (..., K) to (..., 1, V), a mixture of the topics' distributions.

    Args:
        batch_norm: B = b + W, each word's W standardized over the K topics, as in the code of Srivastava and Sutton: without
            it most topics end as one and the same.

    References: Blei, Ng and Jordan, Latent Dirichlet Allocation, 2003, Eq. (1); Srivastava and Sutton, 2017, Section 3.

    >>> TopicMixture(3, 5)(torch.eye(3)).exp().sum(-1).detach().round(decimals=4)
    tensor([[1.],
            [1.],
            [1.]])
    """

    def __init__(self, num_topics: int, num_words: int, batch_norm: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_topics, num_words))
        self.bias = nn.Parameter(torch.zeros(num_words))
        self.batch_norm = batch_norm
        nn.init.xavier_uniform_(self.weight)

    @torch.no_grad()
    def start_at(self, h: Tensor) -> None:
        """Give words around h, (1, V), whatever the shares, until trained."""
        self.bias.copy_(h.flatten())

    def topics(self) -> Tensor:
        """The logarithms of the topics' probabilities of words, (K, V)."""
        weight = self.weight
        if self.batch_norm:
            centred = weight - weight.mean(0)
            weight = centred / (centred.square().mean(0) + 1e-3).sqrt()
        return (self.bias + weight).log_softmax(-1)

    def forward(self, theta: Tensor) -> Tensor:
        """The output of the module, of the shape that its class states."""
        words = theta @ self.topics().exp()
        return words.clamp_min(torch.finfo(words.dtype).tiny).log().unsqueeze(-2)


class TopicProduct(nn.Module):
    """(sum_k theta_k B_k)_v: shares (..., K) to (..., 1, V), a product of experts once a softmax has been taken of it.

    Args:
        batch_norm: follow it by a batch normalization over data, shifted and not scaled, as in the authors' code: without it
            most topics end as one and the same.

    References: Srivastava and Sutton, Autoencoding Variational Inference for Topic Models, 2017, Section 4.
    """

    def __init__(self, num_topics: int, num_words: int, batch_norm: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_topics, num_words))
        nn.init.xavier_uniform_(self.weight)
        self.norm = nn.BatchNorm1d(num_words) if batch_norm else None
        self.bias = None if batch_norm else nn.Parameter(torch.zeros(num_words))
        if self.norm is not None:
            self.norm.weight.requires_grad_(False)

    @torch.no_grad()
    def start_at(self, h: Tensor) -> None:
        """Give words around h, (1, V), whatever the shares, until trained."""
        bias = self.bias if self.norm is None else self.norm.bias
        assert bias is not None
        bias.copy_(h.flatten())

    def topics(self) -> Tensor:
        """The topics, (K, V): larger for a word that is more of the topic."""
        return self.weight

    def forward(self, theta: Tensor) -> Tensor:
        """The output of the module, of the shape that its class states."""
        h = theta @ self.weight
        h = h + self.bias if self.norm is None else self.norm(h.flatten(0, -2)).view_as(h)
        return h.unsqueeze(-2)
