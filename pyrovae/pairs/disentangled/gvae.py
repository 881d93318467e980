"""The group-based VAE: content of a group, averaged over its data, and a style of each."""

from __future__ import annotations

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.needs import GROUPS
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import Dense

__all__ = ["gvae"]


@recipe(
    "Hosoya",
    "Group-based Learning of Disentangled Representations with Generalizability for Novel Contents",
    2019,
    sites=["c", "s"],
    objective="meanfield",
    needs=[GROUPS],
    tiny=[tiny("pairs", content_dim=3, style_dim=2, hidden=[16])],
)
def gvae(spec: DataSpec, *, content_dim: int = 10, style_dim: int = 10, dense: Dense = Dense()) -> Pair:
    """Groups as in ``ml-vae``, whose content has the average of the means and variances that each datum gives.

    Args:
        content_dim: d_c.
        style_dim: d_s.

    References: Hosoya, Group-based Learning of Disentangled Representations, 2019, Section 3.
    """
    each = dense.of_steps()
    guide = guides.ContentStyle(each.encoder(2 * content_dim + 2 * style_dim), content_dim, style_dim, "average", False)
    return models.MLVAE(*each.decoder(content_dim + style_dim), content_dim, style_dim), guide
