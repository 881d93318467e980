"""Conditional variational autoencoders, and the Gaussian stochastic network that they are held against."""

from __future__ import annotations

from collections.abc import Sequence

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.distributions import likelihoods
from pyrovae.errors import OptionError
from pyrovae.nets.mlp import JointMLP, MLPDecoder, MLPEncoder
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.vae import Activation, LikelihoodName, Scale, start_decoder

__all__ = ["cvae", "gsnn"]


def _model(
    spec: DataSpec, latent_dim: int, hidden: Sequence[int], activation: str, likelihood: str | None, scale: Scale
) -> models.CVAE:
    if not {"c", "given"} <= spec.covariates.keys():
        raise OptionError(
            f"{spec.name} has no condition: a conditional pair needs c and given in the batch; transform the data, as in "
            "transforms=['quadrants:given=1'], or 'holes', or 'low-resolution'."
        )
    law = likelihoods.build(likelihood, spec.shape, spec.kind, spec.levels, scale)
    condition = [spec.covariates["c"], spec.covariates["given"]]
    prior = JointMLP(condition, hidden, 2 * latent_dim, activation)
    decoder = MLPDecoder([*condition, latent_dim], list(reversed(hidden)), spec.shape, law.num_params, activation)
    start_decoder(decoder, law, spec)
    return models.CVAE(prior, decoder, law)


@recipe("cvae", "Sohn, Lee and Yan, Learning Structured Output Representation using Deep Conditional Generative Models", 2015)
def cvae(
    spec: DataSpec,
    *,
    latent_dim: int = 50,
    hidden: list[int] | tuple[int, ...] = (500, 500),
    activation: Activation = "relu",
    likelihood: LikelihoodName | None = None,
    scale: Scale = "shared",
) -> Pair:
    """The conditional VAE: z ~ N(c) by a learned prior, x | z, c; guide q(z | x, c). Its log p(x) is log p(x | c).

    Args:
        spec: description of data with a condition c (transforms quadrants, holes, low-resolution), ``data.spec``.
        hidden: sizes of the hidden layers of the prior and of the encoder, and reversed of the decoder.

    References: Sohn, Lee and Yan, Learning Structured Output Representation using Deep Conditional Generative Models, 2015.
    """
    model = _model(spec, latent_dim, hidden, activation, likelihood, scale)
    condition = [spec.covariates["c"], spec.covariates["given"]]
    encoder = MLPEncoder(spec.shape, hidden, 2 * latent_dim, activation, others=condition)
    return Pair(model, guides.ConditionalGaussian(encoder), "meanfield")


@recipe("gsnn", "Sohn, Lee and Yan, Learning Structured Output Representation using Deep Conditional Generative Models", 2015)
def gsnn(
    spec: DataSpec,
    *,
    latent_dim: int = 50,
    hidden: list[int] | tuple[int, ...] = (500, 500),
    activation: Activation = "relu",
    likelihood: LikelihoodName | None = None,
    scale: Scale = "shared",
) -> Pair:
    """The Gaussian stochastic neural network: the CVAE trained without a recognition network, on E_p(z|c)[log p(x | z, c)].

    Args:
        spec: description of data with a condition c (transforms quadrants, holes, low-resolution), ``data.spec``.
        hidden: sizes of the hidden layers of the prior, and reversed of the decoder.

    References: Sohn, Lee and Yan, Learning Structured Output Representation using Deep Conditional Generative Models, 2015.
    """
    model = _model(spec, latent_dim, hidden, activation, likelihood, scale)
    return Pair(model, guides.ConditionalPrior(model.prior))
