"""The regularized autoencoder, with a mixture of Gaussians that is fitted to its codes."""

from __future__ import annotations

from typing import Literal

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.distributions import MixturePrior
from pyrovae.errors import nearest
from pyrovae.nets import SpectralDecoder
from pyrovae.pairs.catalogue import get, recipe
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import Dense, regularized_energy

__all__ = ["rae"]


@recipe(
    "Ghosh, Sajjadi, Vergari, Black and Schoelkopf",
    "From Variational to Deterministic Autoencoders",
    2020,
    objective="code-density",
    density=False,
    only={"num_components": {"prior": "mixture"}},
    tiny=[
        tiny("digits", latent_dim=3, hidden=[20], num_components=3),
        tiny("grey", latent_dim=3, hidden=[20], num_components=2, regularization="gradient"),
        tiny("digits", latent_dim=3, hidden=[20], prior="normal", regularization="spectral-norm", beta=1.0),
    ],
)
def rae(
    spec: DataSpec,
    *,
    latent_dim: int = 16,
    dense: Dense = Dense(hidden=(500, 500), activation="relu"),
    regularization: Literal["none", "l2", "gradient", "spectral-norm"] = "l2",
    weight: float | None = None,
    beta: float = 0.1,
    prior: Literal["mixture", "normal"] = "mixture",
    num_components: int = 10,
) -> Pair:
    """A deterministic autoencoder with a smooth decoder, and a mixture of Gaussians, fitted to its codes, to draw from.

        stage 1, minimized:  -log p(x | f(x)) + beta ||f(x)||^2 / 2 + penalty of the decoder
        stage 2:             p(z) = sum_m w_m N(z; loc_m, S_m) of the codes f(x) of the training data; the rest stands still

    The pair is that of stage 2 (:func:`pyrovae.fit_stages`), which draws z from the mixture. It has a log p(x) where the
    likelihood is a density, that of the mixture and the decoder, by annealing from the prior (``log_evidence(pair, data,
    method="ais", start="prior")``); the guide is a point, so that importance weights and the ELBO do not exist. With
    prior="normal" the pair is that of stage 1, whose codes are kept short by N(0, I) and are no draws of it.

    With a Gaussian of scale s the paper's weights, beside a squared error, are 2 s^2 times these.

    Args:
        regularization: the decoder's penalty: "l2", weight ||theta||^2 (objective ``weight-decay``); "gradient", weight
            ||dE[x | z]/dz||_F^2 at the code (``contraction``); "spectral-norm", in place of one, layers divided by their
            largest singular values; or "none", the paper's plain RAE.
        weight: of the penalty; 0.01 by default.
        beta: of the squared norm of the code.
        prior: of the pair, "mixture", or "normal" for stage 1 alone.
        num_components: of the mixture, with full covariances.

    References: Ghosh, Sajjadi, Vergari, Black and Schoelkopf, From Variational to Deterministic Autoencoders, 2020, Sections 3
    and 4.
    """
    objective = regularized_energy(regularization, weight, beta)
    if prior == "mixture":
        own = {"latent_dim": latent_dim, "regularization": regularization, "weight": weight, "beta": beta}
        first = get("rae").build(spec, **own, **dense.values(), prior="normal")
        model = models.VAE(first.model.decoder, first.model.likelihood, latent_dim, MixturePrior(num_components, latent_dim))
        return Pair(model, first.guide, "code-density", stages=(first,))
    if prior != "normal":
        raise nearest("prior of rae", prior, ("mixture", "normal"))
    networks = dense.decoder(latent_dim)
    if regularization == "spectral-norm":
        sizes = list(reversed(dense.hidden)), spec.shape
        networks = dense.start(lambda n: SpectralDecoder(latent_dim, *sizes, n, dense.activation))
    return Pair(models.VAE(*networks, latent_dim), guides.Deterministic(dense.encoder(latent_dim)), objective)
