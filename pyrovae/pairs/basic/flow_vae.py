"""Variational autoencoders whose posterior is a normalizing flow."""

from __future__ import annotations

from pyrovae import models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import Dense, FlowPosterior

__all__ = ["flow_vae"]


@recipe(
    "Rezende and Mohamed",
    "Variational Inference with Normalizing Flows",
    2015,
    only={"context_dim": {"amortized": True}},
    tiny=[
        tiny("digits", flow="planar", latent_dim=3, hidden=[20]),
        tiny("digits", flow="radial", latent_dim=3, hidden=[20], amortized=False),
        tiny("digits", flow="iaf", latent_dim=3, hidden=[20], flow_hidden=[10], context_dim=5),
        tiny("grey", flow="sylvester", latent_dim=3, hidden=[20], num_flows=2),
        tiny("missing", flow="spline", latent_dim=3, hidden=[20], num_flows=2, flow_hidden=[10]),
    ],
)
def flow_vae(spec: DataSpec, *, flow: FlowPosterior = FlowPosterior(), latent_dim: int = 50, dense: Dense = Dense()) -> Pair:
    """The VAE with a posterior q(z | x) that is an amortized diagonal Gaussian bent by a normalizing flow.

    References: Rezende and Mohamed, Variational Inference with Normalizing Flows, 2015, Section 4; and those of
    :mod:`pyrovae.distributions.flows`.
    """
    guide = flow.guide(dense.encoder, latent_dim)
    return models.VAE(*dense.decoder(latent_dim), latent_dim), guide
