"""The S2-VAE: a VAE whose codes follow the factors of the few data in which these are known."""

from __future__ import annotations

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.data.spec import factor_sizes
from pyrovae.errors import DataError, OptionError, nearest
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.needs import FACTORS
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import Dense

__all__ = ["s2_vae"]


@recipe(
    "Locatello et al.",
    "Disentangling Factors of Variation Using Few Labels",
    2020,
    objective={"name": "s2", "factors": {"y": 10}},
    needs=[FACTORS],
    tiny=[tiny("labels", latent_dim=3, hidden=[20], form="l2", weight=0.01)],
)
def s2_vae(
    spec: DataSpec,
    *,
    latent_dim: int = 10,
    dense: Dense = Dense(),
    factors: list[str] | None = None,
    form: str = "xent",
    weight: float = 1.0,
    reduce: str = "sum",
) -> Pair:
    """ELBO - weight R(E_q[z | x], y), R of the labelled rows: a VAE trained by this objective.

    The pair is the VAE's; :class:`pyrovae.objectives.S2` has the forms of R. Labels are hidden by a transform, as in
    ``few-labels:num_labels=1000,keys=[scale,posX,posY]``.

    Args:
        factors: keys that are factors, in the order of the codes; by default all classes and ordered classes.
        form: of R, "l2", "xent", "cov" or "embed".
        weight: of R.
        reduce: "sum" over the labelled rows of a batch, as published, or "mean".

    References: Locatello et al., Disentangling Factors of Variation Using Few Labels, 2020.
    """
    if not weight > 0:
        raise OptionError(f"weight is {weight!r}; expected a number above 0.")
    known = factor_sizes(spec)
    for name in factors or ():
        if name not in known:
            raise nearest("factor", name, known)
    sizes = {name: known[name] for name in factors or known}
    if len(sizes) > latent_dim:
        raise DataError(f"{spec.name} has {len(sizes)} factors; expected at most latent_dim, which is {latent_dim}.")
    guide = guides.DiagonalGaussian(dense.encoder(2 * latent_dim))
    model = models.VAE(*dense.decoder(latent_dim), latent_dim)
    return Pair(model, guide, {"name": "s2", "factors": sizes, "form": form, "weight": weight, "reduce": reduce})
