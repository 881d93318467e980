"""The deterministic autoencoder, and its Gaussian relaxation."""

from __future__ import annotations

from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import Dense, Relaxation

__all__ = ["ae"]


@recipe(
    "Rumelhart, Hinton and Williams",
    "Learning Internal Representations by Error Propagation",
    1986,
    objective="energy",
    density="relax",
    tiny=[tiny("digits", latent_dim=3, hidden=[20]), tiny("digits", latent_dim=3, hidden=[20], relax=0.3)],
)
def ae(spec: DataSpec, *, latent_dim: int = 50, dense: Dense = Dense(), relaxation: Relaxation = Relaxation()) -> Pair:
    """A deterministic autoencoder: z = f(x), log p(x | f(x)) the energy; no prior, no log p(x) unless relaxed.

    It is the VAE in the limit of a guide without noise. The ELBO E_q[log p(x | z)] - KL(q || p) with q = N(f(x), relax^2 I)
    and p = N(0, I) is

        E[log p(x | f(x) + relax e)] - ||f(x)||^2 / 2 + d log relax + d (1 - relax^2) / 2,    e ~ N(0, I)

    As relax goes to 0 the first term becomes the autoencoder's reconstruction, and d log relax goes to minus infinity: a point
    has no density, so that nothing bounds log p(x). The autoencoder drops what is left of the KL, too, and with it all that
    ties its codes to a distribution one could draw from. With ``relax`` above 0 the pair is the one of the formula, with a
    log p(x).

    Args:
        relax: scale of a Gaussian around the code, which makes of the pair a density; 0 for a point.

    References: Rumelhart, Hinton and Williams, Learning Internal Representations by Error Propagation, 1986; Ghosh et al.,
    From Variational to Deterministic Autoencoders, 2020 (the relaxation).
    """
    return relaxation.autoencoder(*dense.decoder(latent_dim), latent_dim, dense.encoder(latent_dim))
