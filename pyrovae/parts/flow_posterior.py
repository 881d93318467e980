"""A posterior that is a Gaussian bent by a normalizing flow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import nn

from pyrovae import guides
from pyrovae.distributions.flows import FLOWS
from pyrovae.parts.options import Options

__all__ = ["FlowPosterior"]


@dataclass(frozen=True, kw_only=True)
class FlowPosterior(Options):
    """The options of all flows; each takes those that it has.

    Attributes:
        flow: the transforms: planar or radial (Rezende and Mohamed 2015), iaf (Kingma et al. 2016), sylvester (van den Berg
            et al. 2018, Householder), spline (Durkan et al. 2019, autoregressive).
        num_flows: how many of them, one after the other.
        amortized: whether the encoder gives each datum its own transforms (planar, radial, sylvester) or a context for their
            networks (iaf, spline), as in the papers; else all data share them.
        flow_hidden: sizes of the hidden layers of the masked networks of iaf and spline.
        context_dim: size of that context.
        bins: of a spline.
        num_reflections: Householder reflections of a sylvester transform.
    """

    flow: Literal[tuple(FLOWS)] = "planar"  # type: ignore[valid-type]
    num_flows: int = 4
    amortized: bool = True
    flow_hidden: list[int] | tuple[int, ...] = (320,)
    context_dim: int = 100
    bins: int = 8
    num_reflections: int = 8

    def guide(self, encoder: Callable[[int], nn.Module], latent_dim: int) -> nn.Module:
        """The guide of an encoder that is made with as many features as the flow needs."""
        flow = FLOWS.build(self.flow, latent_dim, **self.own(FLOWS, self.flow))
        return guides.NormalizingFlow(encoder(2 * latent_dim + flow.num_features), flow, latent_dim)
