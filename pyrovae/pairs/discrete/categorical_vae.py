"""The VAE of categorical latents, trained by a relaxation of them."""

from __future__ import annotations

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.errors import OptionError
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import Dense

__all__ = ["categorical_vae"]


@recipe(
    "Jang et al.",
    "Categorical Reparameterization with Gumbel-Softmax",
    2017,
    objective="elbo:estimator=concrete",
    tiny=[
        tiny("digits", num_variables=2, num_classes=3, hidden=[16]),
        tiny("digits", num_variables=5, num_classes=2, hidden=[16]),
    ],
)
def categorical_vae(
    spec: DataSpec,
    *,
    num_variables: int = 20,
    num_classes: int = 10,
    dense: Dense = Dense(),
) -> Pair:
    """N categorical variables of C classes, uniform a priori, decoded; log p(x) is always that of the discrete variables.

    It is trained by the Concrete relaxation, or any estimator of objectives ``elbo`` and ``iwae``, as in
    ``fit(objective="iwae:estimator=vimco")``. Jang et al. anneal the temperature, as in
    ``fit(schedule={"temperature": "exponential:start=1,end=0.5,epochs=50"})``.

    Args:
        num_variables: N.
        num_classes: C; with 2 the variables are bits (num_variables=200 for the papers' binary networks).

    References: Jang, Gu and Poole, Categorical Reparameterization with Gumbel-Softmax, 2017; Maddison, Mnih and Teh, The
    Concrete Distribution, 2017.
    """
    if num_classes < 2:
        raise OptionError(f"num_classes is {num_classes!r}; expected at least 2.")
    size = num_variables * (1 if num_classes == 2 else num_classes)
    guide = guides.IndependentCategorical(dense.encoder(size), num_classes)
    return models.CategoricalVAE(*dense.decoder(size), num_variables, num_classes), guide
