"""Multi-level VAEs: content of a group, style of each."""

from __future__ import annotations

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.needs import GROUPS
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import Dense

__all__ = ["ml_vae"]


@recipe(
    "Bouchacourt et al.",
    "Multi-Level Variational Autoencoder: Learning Disentangled Representations from Grouped Observations",
    2018,
    sites=["c", "s"],
    objective="meanfield",
    needs=[GROUPS],
    tiny=[tiny("digits", content_dim=3, style_dim=2, hidden=[16])],
)
def ml_vae(
    spec: DataSpec,
    *,
    content_dim: int = 10,
    style_dim: int = 10,
    prior_correction: bool = False,
    dense: Dense = Dense(),
) -> Pair:
    """Data of a group, x (n, *shape) by transform ``groups``, share a content c, and each has a style s_i.

    What they say of the content is a product of their Gaussians; ``gvae`` has the average.

    Args:
        content_dim: d_c.
        style_dim: d_s.
        prior_correction: have the prior once in the product, not once for each of the group.

    References: Bouchacourt, Tomioka and Nowozin, Multi-Level Variational Autoencoder, 2018.
    """
    each = dense.of_steps()
    encoder = each.encoder(2 * content_dim + 2 * style_dim)
    model = models.MLVAE(*each.decoder(content_dim + style_dim), content_dim, style_dim)
    return model, guides.ContentStyle(encoder, content_dim, style_dim, "product", prior_correction)
