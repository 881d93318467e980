"""What a pair of tables is built of: each column's likelihood, and a row's features."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from torch import nn

from pyrovae.data.changes import columns_of
from pyrovae.data.spec import KeySpec
from pyrovae.distributions.likelihoods import LIKELIHOODS, Likelihood, named
from pyrovae.distributions.likelihoods.table import Classes, TableLikelihood
from pyrovae.errors import OptionError, nearest
from pyrovae.nets import MLP, MLPDecoder, RowFeatures
from pyrovae.parts.networks import Activation
from pyrovae.parts.options import Options

__all__ = ["Columns"]

log = logging.getLogger("pyrovae")

USUAL = {
    "binary": "bernoulli",
    "real": "gaussian",
    "unit": "beta",
    "positive": "log-normal",
    "count": "negative-binomial",
    "category": "classes",
    "ordinal": "ordinal",
}
SCORED_AS = {"positive": "real", "ordinal": "levels"}  # kinds of columns that likelihoods know by another name


@dataclass(frozen=True, kw_only=True)
class Columns(Options):
    """Dense networks of the rows of a table.

    Attributes:
        likelihoods: of columns by name, where not the usual ones: gaussian for real, log-normal for positive, beta for unit,
            negative-binomial for count, bernoulli for binary, ordinal for ordinal columns.
        hidden: sizes of the hidden layers of the encoder, and reversed of the decoder.
        activation: of the hidden layers.
    """

    likelihoods: dict[str, str] = field(default_factory=dict)
    hidden: list[int] | tuple[int, ...] = (64,)
    activation: Activation = "relu"

    @property
    def columns(self) -> dict[str, KeySpec]:
        """The columns of x by name."""
        return columns_of(self.spec)

    def encoder(self, out_features: int) -> tuple[RowFeatures, nn.Module]:
        """From a row to so many features: what a network is given of it, and the network."""
        columns = self.columns.values()
        masked = bool(self.spec.roles.get("missing"))
        features = RowFeatures([each.kind for each in columns], [each.size for each in columns], masked)
        return features, MLP(features.num_features, self.hidden, out_features, self.activation)

    def decoder(self, latent_dim: int) -> tuple[nn.Module, TableLikelihood]:
        """From z to the parameters of a row, with its likelihood, starting at the columns' means."""
        for name in self.likelihoods:
            if name not in self.columns:
                raise nearest("column", name, self.columns)
        self._warn()
        likelihood = TableLikelihood({name: self._likelihood(name, each) for name, each in self.columns.items()})
        decoder = MLPDecoder(latent_dim, list(reversed(self.hidden)), (likelihood.num_features,), 1, self.activation)
        if self.spec.mean is not None:
            decoder.start_at(likelihood.start(list(self.spec.mean)))
        return decoder, likelihood

    def _likelihood(self, name: str, column: KeySpec) -> Likelihood:
        if column.kind not in USUAL:
            raise OptionError(f"a pair of tables does not score {column.kind} data (it takes {', '.join(USUAL)}).")
        chosen = self.likelihoods.get(name, USUAL[column.kind])
        if chosen == "classes" and column.kind == "category":
            return Classes((), column.size or 2)
        kinds = named(chosen).kinds
        if SCORED_AS.get(column.kind, column.kind) not in kinds:
            raise OptionError(
                f"likelihood {chosen!r} does not score column {name!r}, which is {column.kind} (it takes {', '.join(kinds)})."
            )
        own = {"levels": column.size, "top": float((column.size or 2) - 1)} if column.kind == "ordinal" else {}
        return LIKELIHOODS.build(chosen, (), **own)

    def _warn(self) -> None:
        """Warn of real columns in units of their own: the prior, the start and the steps of training are for a scale of 1."""
        plain = [name for name, each in self.columns.items() if each.kind == "real" and not each.changes]
        if plain:
            log.warning(
                "%s: column%s %s %s not standardized; give transforms=['standardize'], which is recorded and taken back in "
                "what comes out.",
                *(self.spec.name, "s"[: len(plain) > 1], ", ".join(plain), "are" if len(plain) > 1 else "is"),
            )
