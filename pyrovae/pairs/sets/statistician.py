"""The neural statistician."""

from __future__ import annotations

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.needs import SETS
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import Dense

__all__ = ["statistician"]


@recipe(
    "Edwards and Storkey",
    "Towards a Neural Statistician",
    2017,
    sites=["c", "z1"],
    objective="meanfield",
    needs=[SETS],
    tiny=[tiny("sets", context_dim=3, latent_dim=2, hidden=[16])],
)
def statistician(
    spec: DataSpec,
    *,
    context_dim: int = 16,
    latent_dim: int = 16,
    num_layers: int = 1,
    dense: Dense = Dense(hidden=(128, 128), activation="relu", scale="predicted"),
) -> Pair:
    """A set x (n, *shape) is a datum: a context c that its items share, and a hierarchy of latents of each item.

    Args:
        context_dim: d_c.
        latent_dim: d, of each layer of each item.
        num_layers: L.
        hidden: sizes of the hidden layers of all networks, and reversed of the decoder; the last is of an item's features.

    References: Edwards and Storkey, Towards a Neural Statistician, 2017.
    """
    each, features = dense.of_steps(), dense.hidden[-1]
    above = [[], *[[latent_dim]] * (num_layers - 1)]
    priors = [each.joint([context_dim, *more], 2 * latent_dim) for more in above]
    posteriors = [each.joint([features, context_dim, *more], 2 * latent_dim) for more in above]
    model = models.Statistician(priors, *each.decoder([context_dim, *[latent_dim] * num_layers]), context_dim)
    context = each.joint([features, 1], 2 * context_dim)
    return model, guides.StatisticianGuide(each.encoder(features), context, posteriors)
