"""The deep autoencoder."""

from __future__ import annotations

from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import Dense, Relaxation

__all__ = ["deep_ae"]


@recipe(
    "Hinton and Salakhutdinov",
    "Reducing the Dimensionality of Data with Neural Networks",
    2006,
    objective="energy",
    density="relax",
    tiny=[tiny("grey", latent_dim=3, hidden=[20, 10])],
)
def deep_ae(
    spec: DataSpec,
    *,
    latent_dim: int = 30,
    dense: Dense = Dense(hidden=(1000, 500, 250), activation="relu"),
    relaxation: Relaxation = Relaxation(),
) -> Pair:
    """The deep autoencoder 784-1000-500-250-30 with a linear code: z = f(x), -log p(x | f(x)) the cross-entropy of the pixels.

        energy(x) = -sum_i x_i log p_i + (1 - x_i) log(1 - p_i),    p = sigmoid(g(f(x)))

    The paper's hidden units are logistic (``activation="sigmoid"``), and start from restricted Boltzmann machines, without
    which its gradients vanish; rectified units need no such start.

    Args:
        likelihood: distribution of x given z; by default the paper's cross-entropy, which of binary data is bernoulli, and of
            data in [0, 1] bernoulli-grey, an energy; gaussian of real data. Relaxed, and then by default, one that is a
            density.

    References: Hinton and Salakhutdinov, Reducing the Dimensionality of Data with Neural Networks, 2006.
    """
    usual = None if relaxation.relax else dense.cross_entropy
    return relaxation.autoencoder(*dense.decoder(latent_dim, usual), latent_dim, dense.encoder(latent_dim))
