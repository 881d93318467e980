"""The variational autoencoder of tables: columns of several kinds, with gaps."""

from __future__ import annotations

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.needs import ROWS
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import Columns

__all__ = ["table_vae"]


@recipe(
    "Nazabal, Olmos, Ghahramani and Valera",
    "Handling Incomplete Heterogeneous Data Using VAEs",
    2020,
    kinds=["table", "binary", "unit", "real", "count"],
    needs=[ROWS],
    tiny=[tiny("table", latent_dim=2, hidden=[10])],
)
def table_vae(spec: DataSpec, *, latent_dim: int = 5, columns: Columns = Columns()) -> Pair:
    """A VAE of the rows of a table, each column of its own likelihood, missing values left out of the score.

    The prior is N(0, I), that of the paper's Section 3; its mixture of priors (Section 4) is not built.

    Args:
        spec: description of a table, or of an array (D,), ``data.spec``.

    References: Nazabal et al., Handling Incomplete Heterogeneous Data Using VAEs, 2020, Section 3.
    """
    guide = guides.TableGuide(*columns.encoder(2 * latent_dim))
    return models.VAE(*columns.decoder(latent_dim), latent_dim), guide
