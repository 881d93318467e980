"""Logistic principal components."""

from __future__ import annotations

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import Dense

__all__ = ["logistic_pca"]


@recipe(
    "Collins, Dasgupta and Schapire",
    "A Generalization of Principal Component Analysis",
    2001,
    objective="energy",
    density=False,
    kinds=["binary", "levels", "unit"],
    tiny=[tiny("digits", latent_dim=3)],
)
def logistic_pca(spec: DataSpec, *, latent_dim: int = 30) -> Pair:
    """z = A x + a, p = sigmoid(W z + c): principal components of the natural parameters of Bernoulli pixels.

        energy(x) = sum_i log(1 + exp(t_i)) - x_i t_i,    t = W z + c

    PCA is this with a Gaussian in place of the Bernoulli, whose natural parameters are the means. The paper looks for the best
    z of each datum; here a linear encoder finds it, as in the autoencoder that Hinton and Salakhutdinov (2006) compare with.

    Args:
        spec: description of data in [0, 1], ``data.spec``: bernoulli for binary ones, bernoulli-grey for grey levels.

    References: Collins, Dasgupta and Schapire, A Generalization of Principal Component Analysis to the Exponential Family,
    2001; Schein, Saul and Ungar, A Generalized Linear Model for Principal Component Analysis of Binary Data, 2003.
    """
    linear = Dense(spec=spec, hidden=())
    model = models.AE(*linear.decoder(latent_dim, linear.cross_entropy or "bernoulli"), latent_dim)
    return model, guides.Deterministic(linear.encoder(latent_dim))
