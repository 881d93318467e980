"""Normalizing flows: z = T_n(... T_1(z0)), by Pyro's and Zuko's transforms."""

from __future__ import annotations

from pyrovae.distributions.flows.autoregressive import IAF, Spline
from pyrovae.distributions.flows.closed import Flow, Planar, Radial, Sylvester, SylvesterTransform
from pyrovae.distributions.flows.distribution import FlowDistribution
from pyrovae.distributions.flows.hamiltonian import Leapfrog
from pyrovae.registry import Registry

__all__ = [
    "FLOWS",
    "IAF",
    "Flow",
    "FlowDistribution",
    "Leapfrog",
    "Planar",
    "Radial",
    "Spline",
    "Sylvester",
    "SylvesterTransform",
]

FLOWS: Registry[type[Flow]] = Registry(
    "flow", {"planar": Planar, "radial": Radial, "iaf": IAF, "sylvester": Sylvester, "spline": Spline}, given=1
)
