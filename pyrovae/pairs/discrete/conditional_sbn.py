"""Sigmoid belief networks of structured output: the rest of x given a condition."""

from __future__ import annotations

from typing import Literal

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.errors import OptionError
from pyrovae.nets import MLP
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.needs import CONDITION
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import Dense

__all__ = ["conditional_sbn"]


@recipe(
    "Raiko et al.",
    "Techniques for Learning Binary Stochastic Feedforward Neural Networks",
    2015,
    sites=["z2", "z1"],
    objective={"name": "vimco", "num_particles": 5},
    needs=[CONDITION],
    tiny=[tiny("quadrants", latent_dim=4), tiny("quadrants", latent_dim=4, posterior="encoder")],
)
def conditional_sbn(
    spec: DataSpec,
    *,
    latent_dim: int = 200,
    num_layers: int = 2,
    posterior: Literal["prior", "encoder"] = "prior",
    dense: Dense = Dense(hidden=()),
) -> Pair:
    """Structured output by layers of bits between a condition c and x: its log p(x) is log p(x | c), of what c does not show.

    Args:
        spec: description of data with a condition c (transforms halves, quadrants, holes), ``data.spec``.
        latent_dim: n, bits of a layer.
        num_layers: L.
        posterior: 'prior' for draws of the model's own layers, as published; 'encoder' for layers that see x too.
        hidden: sizes of hidden layers between the layers of bits; none for logistic regressions.

    References: Raiko, Berglund, Alain and Dinh, Techniques for Learning Binary Stochastic Feedforward Neural Networks, 2015;
    Jang, Gu and Poole, Categorical Reparameterization with Gumbel-Softmax, 2017, Section 4.1.
    """
    if num_layers < 1:
        raise OptionError(f"num_layers is {num_layers!r}; expected at least 1.")
    condition = [spec.covariates["c"], spec.covariates["given"]]
    between = [MLP(latent_dim, dense.hidden, latent_dim, dense.activation) for _ in range(num_layers - 1)]
    model = models.ConditionalSBN(dense.joint(condition, latent_dim), between, *dense.decoder(latent_dim))
    if posterior == "prior":
        return model, guides.TopDownBernoulli(model.prior, model.layers)
    layers = [dense.joint([latent_dim, *condition], latent_dim) for _ in range(num_layers - 1)]
    return model, guides.ConditionalBottomUp(dense.encoder(latent_dim, others=condition), layers)
