"""Where a guide loses its nats: the approximation gap of its family and the amortization gap of its encoder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor

from pyrovae.calls import public
from pyrovae.core.pair import PairLike, as_pair, known_spec
from pyrovae.data import as_split
from pyrovae.evidence.estimate import log_evidence, stream
from pyrovae.evidence.evidence import Evidence, mean_and_error
from pyrovae.evidence.gaussian import Refined
from pyrovae.evidence.normalizers import normalizers_of
from pyrovae.plots import gap_bars

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Gaps", "gaps"]


@dataclass(frozen=True, repr=False)
class Gaps:
    """Bounds on log p(x_b) from the ELBO up, N data, in nats, each an :class:`Evidence`.

    Attributes:
        importance: L_K from the amortized guide, and in its ``elbo`` L[q].
        refined: the same from a diagonal Gaussian refined for each datum, and in its ``elbo`` L[q*].
        ais: annealed importance sampling.
    """

    importance: Evidence
    refined: Evidence
    ais: Evidence

    @property
    def best(self) -> Evidence:
        """Of the three lower bounds the one with the largest mean: what stands for log p(x)."""
        return max(self.importance, self.refined, self.ais, key=lambda evidence: evidence.mean)

    @property
    def approximation(self) -> Tensor:
        """log p(x) - L[q*], (N,): what no diagonal Gaussian reaches."""
        return self.best.value - self.refined.elbo

    @property
    def amortization(self) -> Tensor:
        """L[q*] - L[q], (N,): what the encoder loses by serving all data; negative where the guide's family is richer."""
        return self.refined.elbo - self.importance.elbo

    def rows(self) -> dict[str, tuple[float, float]]:
        """Each bound's and gap's mean and standard error over data (Monte Carlo error included)."""
        values = {
            "log p(x)": self.best.value,
            "AIS": self.ais.value,
            f"L_{self.importance.num_samples}": self.importance.value,
            f"L_{self.refined.num_samples} of q*": self.refined.value,
            "L[q*]": self.refined.elbo,
            "L[q]": self.importance.elbo,
            "approximation gap": self.approximation,
            "amortization gap": self.amortization,
            "inference gap": self.approximation + self.amortization,
        }
        return {name: mean_and_error(value) for name, value in values.items()}

    def __repr__(self) -> str:
        lines = [f"{name:18s}{value:10.3f} +- {error:.3f}" for name, (value, error) in self.rows().items()]
        return "\n".join([f"nats per datum, {len(self.ais)} data; log p(x) by {self.best.method}", *lines])

    def to_json(self) -> dict[str, Any]:
        """The rows, and the summary of each bound."""
        rows = {name: {"mean": value, "stderr": error} for name, (value, error) in self.rows().items()}
        bounds = {name: getattr(self, name).to_json() for name in ("importance", "refined", "ais")}
        return {**rows, "best": self.best.method, **bounds}

    def plot(self, name: str = "data", others: Mapping[str, Gaps] | None = None) -> Figure:
        """A bar of the two gaps, and one for each of others: ``train.plot("train", {"test": test})``."""
        both = {name: self, **(others or {})}
        return gap_bars(
            {
                label: {
                    "approximation gap": mean_and_error(one.approximation),
                    "amortization gap": mean_and_error(one.amortization),
                }
                for label, one in both.items()
            }
        )


@public()
def gaps(
    pair: PairLike,
    data: Any,
    num_samples: int = 5000,
    *,
    num_steps: int = 300,
    ais: Mapping[str, Any] | None = None,
    batch_size: int = 100,
    max_rows: int = 5000,
    seed: int = 0,
    progress: bool = False,
    precision: str = "float32",
    compile: bool | None = None,
) -> Gaps:
    """The gap between log p(x) and the ELBO, in nats, split into approximation gap and amortization gap of a guide.

        log p(x) - L[q] = (log p(x) - L[q*]) + (L[q*] - L[q])

    q* is the diagonal Gaussian (in the unconstrained space of the latents) that is best for each datum alone, refined from
    the guide's moments; log p(x) is the largest of L_K, the same from q*, and AIS. Both approach what they stand for from
    below, so the amortization gap and the inference gap are in expectation at least what is stated.

    Args:
        pair: a Run, a run's folder, a Pair, or (model, guide).
        data: as for :func:`log_evidence`; call it for train and for test data.
        num_samples: K of L_K.
        num_steps: of the refinement.
        ais: options of :class:`~pyrovae.evidence.ais.AIS`.
        batch_size: as for :func:`log_evidence`.
        max_rows: as for :func:`log_evidence`.
        seed: as for :func:`log_evidence`.
        progress: as for :func:`log_evidence`.
        precision: as for :func:`log_evidence`.
        compile: as for :func:`log_evidence`.

    References: Cremer, Li and Duvenaud, Inference Suboptimality in Variational Autoencoders, 2018, Eq. (4) to (6).

    >>> import torch, pyrovae as pv
    >>> pair = pv.pairs.linear_gaussian(pv.data.DataSpec("toy", (4,), "real"), latent_dim=1)
    >>> found = gaps(pair, torch.randn(3, 4), num_samples=10, ais={"num_distributions": 5})
    >>> bool(found.amortization.abs().max() < 0.2)  # a guide that is exact
    True
    """
    shared: dict[str, Any] = {"batch_size": batch_size, "max_rows": max_rows, "seed": seed, "progress": progress}
    shared |= {"precision": precision, "compile": compile}
    pair = as_pair(pair)
    data = as_split(data, known_spec(pair))
    refining = Refined(num_steps=num_steps)
    columns = stream(pair, data, refining, **shared)
    told = {**refining.options(), "seed": seed}
    return Gaps(
        log_evidence(pair, data, num_samples=num_samples, **shared),
        Evidence.of(columns, refining.name, refining.bound, told, normalizers_of(pair, data.batches(1))),
        log_evidence(pair, data, method="ais", **{**shared, **(ais or {})}),
    )
