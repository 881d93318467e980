"""The Wasserstein autoencoder."""

from __future__ import annotations

from typing import Literal

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.errors import nearest
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import Dense

__all__ = ["wae"]

GUIDES = {"deterministic": (guides.Deterministic, 1), "gaussian": (guides.DiagonalGaussian, 2)}
PENALTIES = ("mmd", "gan")


@recipe(
    "Tolstikhin, Bousquet, Gelly and Schoelkopf",
    "Wasserstein Auto-Encoders",
    2018,
    objective="wae",
    density={"posterior": "gaussian"},
    only={"kernel": {"penalty": "mmd"}, "discriminator_hidden": {"penalty": "gan"}},
    tiny=[
        tiny("digits", latent_dim=3, hidden=[20]),
        tiny("grey", latent_dim=3, hidden=[20], kernel="gaussian", posterior="gaussian"),
        tiny("digits", latent_dim=3, hidden=[20], penalty="gan", discriminator_hidden=10),
    ],
)
def wae(
    spec: DataSpec,
    *,
    latent_dim: int = 8,
    dense: Dense = Dense(hidden=(500, 500), activation="relu"),
    posterior: Literal["deterministic", "gaussian"] = "deterministic",
    penalty: Literal["mmd", "gan"] = "mmd",
    kernel: Literal["imq", "gaussian"] = "imq",
    weight: float = 100.0,
    discriminator_hidden: int = 512,
) -> Pair:
    """An autoencoder whose codes, of all data together, are distributed as p(z) = N(0, I).

        -E_q[log p(x | z)] + weight D(q(z), p(z)),   q(z) = E_data[q(z | x)]

    It relaxes an optimal transport between data and model, and bounds no log p(x). A deterministic code is a point, so that
    importance weights and the ELBO do not exist; log p(x) of the model by annealing from its prior (``log_evidence(pair, data,
    method="ais", start="prior")``) does.

    Args:
        posterior: the guide, a point at e(x) or a Gaussian around it.
        penalty: D, the squared maximum mean discrepancy of codes and draws ("mmd", objective ``wae``), or a discriminator's
            ("gan", objective ``wae-gan``).
        kernel: of the discrepancy, inverse multiquadratics or a Gaussian.
        weight: of D, lambda of the paper.
        discriminator_hidden: width of the two hidden layers of the discriminator.

    References: Tolstikhin, Bousquet, Gelly and Schoelkopf, Wasserstein Auto-Encoders, 2018, Eq. (4), Algorithms 1 and 2.
    """
    for name, value, known in (("posterior", posterior, GUIDES), ("penalty", penalty, PENALTIES)):
        if value not in known:
            raise nearest(f"{name} of wae", value, known)
    guide, num_params = GUIDES[posterior]
    model = models.VAE(*dense.decoder(latent_dim), latent_dim)
    own = {"name": "wae", "divergence": kernel} if penalty == "mmd" else {"name": "wae-gan", "hidden": discriminator_hidden}
    return Pair(model, guide(dense.encoder(num_params * latent_dim)), {**own, "weight": weight})
