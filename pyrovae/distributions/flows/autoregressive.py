"""Flows whose transforms are masked networks: inverse autoregressive and spline."""

from __future__ import annotations

from collections.abc import Sequence

from pyro.distributions.transforms.affine_autoregressive import ConditionalAffineAutoregressive
from pyro.nn import ConditionalAutoRegressiveNN
from torch import Tensor, nn
from torch.distributions import Transform
from zuko.flows.autoregressive import MaskedAutoregressiveTransform
from zuko.transforms import MonotonicRQSTransform

from pyrovae.distributions.flows.closed import Flow, _orders, require_positive
from pyrovae.errors import OptionError

__all__ = ["IAF", "Spline"]


class IAF(Flow):
    """T(z)_i = s_i z_i + (1 - s_i) m_i, s = sigmoid(.), m and s_i functions of z_1, ..., z_i-1, n times; Pyro's.

    Drawn in one pass; a value that is no draw of its own is inverted dimension by dimension, in d passes.

    Args:
        latent_dim: d, at least 2.
        num_flows: n; the order of the dimensions is reversed from one to the next.
        flow_hidden: sizes of the hidden layers of the masked networks, at least d.
        context_dim: size of the context h of a datum that the encoder gives to every masked network, as in the paper.
        amortized: whether there is such a context; else all data share the transforms.

    References: Kingma et al., Improved Variational Inference with Inverse Autoregressive Flow, 2016, Eq. (13) and (14).
    """

    def __init__(
        self,
        latent_dim: int,
        num_flows: int = 4,
        amortized: bool = True,
        flow_hidden: Sequence[int] = (320,),
        context_dim: int = 100,
    ) -> None:
        super().__init__()
        require_positive(num_flows=num_flows, context_dim=context_dim)
        if any(size < latent_dim for size in flow_hidden):
            raise OptionError(
                f"flow_hidden is {list(flow_hidden)}; masked layers need at least latent_dim = {latent_dim} units."
            )
        self.num_features = context_dim if amortized else 0
        self.networks = nn.ModuleList(
            ConditionalAutoRegressiveNN(
                latent_dim, self.num_features, list(flow_hidden), permutation=order, nonlinearity=nn.ELU()
            )
            for order in _orders(latent_dim, num_flows)
        )

    def transforms(self, features: Tensor) -> list[Transform]:
        """T_1, ..., T_n for features, (..., F)."""
        return [ConditionalAffineAutoregressive(net, stable=True).condition(features) for net in self.networks]


class Spline(Flow):
    """T(z)_i = monotone rational-quadratic spline on [-5, 5] with knots that are functions of z_1, ..., z_i-1; Zuko's.

    The identity outside. Drawn in one pass; a value that is no draw of its own is inverted in d passes.

    Args:
        latent_dim: d, at least 2.
        num_flows: n; the order of the dimensions is reversed from one to the next.
        flow_hidden: sizes of the hidden layers of the masked networks.
        bins: between knots.
        context_dim: size of the context of a datum that the encoder gives to every masked network.
        amortized: whether there is such a context; else all data share the transforms.

    References: Durkan, Bekasov, Murray and Papamakarios, Neural Spline Flows, 2019 (RQ-NSF (AR), drawn in the fast direction).
    """

    def __init__(
        self,
        latent_dim: int,
        num_flows: int = 4,
        amortized: bool = True,
        flow_hidden: Sequence[int] = (320,),
        context_dim: int = 100,
        bins: int = 8,
    ) -> None:
        super().__init__()
        require_positive(num_flows=num_flows, context_dim=context_dim, bins=bins)
        self.num_features = context_dim if amortized else 0
        self.steps = nn.ModuleList(
            MaskedAutoregressiveTransform(
                latent_dim,
                self.num_features,
                order=order,
                univariate=MonotonicRQSTransform,
                shapes=[(bins,), (bins,), (bins - 1,)],
                hidden_features=list(flow_hidden),
                activation=nn.ELU,
            )
            for order in _orders(latent_dim, num_flows)
        )

    def transforms(self, features: Tensor) -> list[Transform]:
        """T_1, ..., T_n for features, (..., F)."""
        return [step(features if self.num_features else None) for step in self.steps]
