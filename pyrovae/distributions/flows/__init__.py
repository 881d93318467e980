"""Normalizing flows: z = T_n(... T_1(z0)), by Pyro's and Zuko's transforms."""

from __future__ import annotations

from collections.abc import Sequence

from pyrovae.distributions.flows.autoregressive import IAF, Spline
from pyrovae.distributions.flows.closed import Flow, Planar, Radial, Sylvester, SylvesterTransform
from pyrovae.distributions.flows.distribution import FlowDistribution
from pyrovae.errors import OptionError, nearest

__all__ = [
    "FLOWS",
    "IAF",
    "Flow",
    "FlowDistribution",
    "Planar",
    "Radial",
    "Spline",
    "Sylvester",
    "SylvesterTransform",
    "build",
]


FLOWS: dict[str, type[Flow]] = {"planar": Planar, "radial": Radial, "iaf": IAF, "sylvester": Sylvester, "spline": Spline}


def build(
    name: str,
    latent_dim: int,
    num_flows: int,
    amortized: bool = True,
    hidden: Sequence[int] = (320,),
    context_dim: int = 100,
    bins: int = 8,
    num_reflections: int = 8,
) -> Flow:
    """The flow of a name from the options of them all; each takes those that it has.

    >>> build("iaf", latent_dim=3, num_flows=2, hidden=[8], context_dim=5).num_features
    5
    """
    if name not in FLOWS:
        raise nearest("flow", name, FLOWS)
    counts = {"num_flows": num_flows, "context_dim": context_dim, "bins": bins, "num_reflections": num_reflections}
    for option, value in counts.items():
        if value < 1:
            raise OptionError(f"{option} is {value}; expected a whole number of at least 1.")
    if name in ("planar", "radial"):
        return FLOWS[name](latent_dim, num_flows, amortized)  # type: ignore[call-arg]
    if name == "sylvester":
        return Sylvester(latent_dim, num_flows, num_reflections, amortized)
    context_dim = context_dim if amortized else 0
    if name == "iaf":
        return IAF(latent_dim, num_flows, hidden, context_dim)
    return Spline(latent_dim, num_flows, hidden, bins, context_dim)
