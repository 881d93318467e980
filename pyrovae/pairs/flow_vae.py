"""Variational autoencoders whose posterior is a normalizing flow."""

from __future__ import annotations

from typing import Literal

from pyrovae import guides
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.distributions import flows, likelihoods
from pyrovae.models import VAE
from pyrovae.nets.mlp import MLPDecoder, MLPEncoder
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.vae import Activation, LikelihoodName, Scale, start_decoder

__all__ = ["flow_vae"]


@recipe("flow-vae", "Rezende and Mohamed, Variational Inference with Normalizing Flows", 2015)
def flow_vae(
    spec: DataSpec,
    *,
    flow: Literal["planar", "radial", "iaf", "sylvester", "spline"] = "planar",
    num_flows: int = 4,
    amortized: bool = True,
    flow_hidden: list[int] | tuple[int, ...] = (320,),
    context_dim: int = 100,
    bins: int = 8,
    num_reflections: int = 8,
    latent_dim: int = 50,
    hidden: list[int] | tuple[int, ...] = (200, 200),
    activation: Activation = "tanh",
    likelihood: LikelihoodName | None = None,
    scale: Scale = "shared",
) -> Pair:
    """The VAE with a posterior q(z | x) that is an amortized diagonal Gaussian bent by a normalizing flow.

    Args:
        flow: the transforms: planar or radial (Rezende and Mohamed 2015), iaf (Kingma et al. 2016), sylvester (van den Berg
            et al. 2018, Householder), spline (Durkan et al. 2019, autoregressive).
        num_flows: how many of them, one after the other.
        amortized: whether the encoder gives each datum its own transforms (planar, radial, sylvester) or a context for their
            networks (iaf, spline), as in the papers; else all data share them.
        flow_hidden: sizes of the hidden layers of the masked networks of iaf and spline.
        context_dim: size of that context.
        bins: of a spline.
        num_reflections: Householder reflections of a sylvester transform.

    References: Rezende and Mohamed, Variational Inference with Normalizing Flows, 2015, Section 4; and those of
    :mod:`pyrovae.distributions.flows`.
    """
    law = likelihoods.build(likelihood, spec.shape, spec.kind, spec.levels, scale)
    bent = flows.build(flow, latent_dim, num_flows, amortized, flow_hidden, context_dim, bins, num_reflections)
    encoder = MLPEncoder(spec.shape, hidden, 2 * latent_dim + bent.num_features, activation)
    decoder = MLPDecoder(latent_dim, list(reversed(hidden)), spec.shape, law.num_params, activation)
    start_decoder(decoder, law, spec)
    return Pair(VAE(decoder, law, latent_dim), guides.NormalizingFlow(encoder, bent, latent_dim))
