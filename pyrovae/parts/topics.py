"""Topic models of a decoder, and their guides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

from torch import nn

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.distributions.likelihoods import Multinomial
from pyrovae.errors import OptionError
from pyrovae.nets import ACTIVATIONS, Log1p
from pyrovae.parts.networks import Dense

__all__ = ["TopicPrior", "topic_encoder", "topic_pair"]

TopicPrior = Literal["laplace", "dirichlet"]

DROPOUT = 0.2


def topic_encoder(dense: Dense, out_features: int, batch_norm: bool) -> nn.Module:
    """From counts, as log(1 + x), to so many features, with dropout and a batch normalization as of ProdLDA's authors."""
    *before, width = dense.hidden
    last = [nn.BatchNorm1d(out_features)] if batch_norm else []
    activation = ACTIVATIONS[str(dense.activation)]()
    first = replace(dense, hidden=tuple(before)).encoder(width)
    return nn.Sequential(Log1p(), first, activation, nn.Dropout(DROPOUT), nn.Linear(width, out_features), *last)


def topic_pair(
    make: Callable[..., Any], num_topics: int, concentration: float, prior: TopicPrior, batch_norm: bool, dense: Dense
) -> Pair:
    """A topic model of this decoder, and its guide: a Gaussian in the basis of the softmax, or a Dirichlet.

    Raises:
        OptionError: a likelihood that does not score words given their number, or no hidden layer.
    """
    if not dense.hidden:
        raise OptionError(f"hidden is {dense.hidden!r}; the encoder of a topic model needs one layer at least, as in [100].")
    decoder, likelihood = dense.start(lambda num_params: make(num_topics, dense.spec.shape[0]))
    if not isinstance(likelihood, Multinomial):
        raise OptionError(
            f"likelihood {dense.likelihood!r} scores each count by itself, and topics are shares of words: use "
            "'bag-of-words', or 'multinomial' with its coefficient."
        )
    model = models.LDAVAE(decoder, likelihood, num_topics, concentration, prior)
    if prior == "dirichlet":
        return model, guides.DirichletShares(topic_encoder(dense, num_topics, batch_norm))
    return model, guides.DiagonalGaussian(topic_encoder(dense, 2 * num_topics, batch_norm))
