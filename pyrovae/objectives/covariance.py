"""DIP-VAE's objective: the ELBO less weights on how far the covariance of the codes is from the identity."""

from __future__ import annotations

import torch
from torch import Tensor

from pyrovae.core.aggregate import base_of, refuse_dependent
from pyrovae.core.rescore import moments
from pyrovae.core.sites import site_masks
from pyrovae.core.trace import PairTrace
from pyrovae.errors import ContractError, nearest
from pyrovae.objectives.objective import Given, Update, Updates
from pyrovae.objectives.total_correlation import Disentangling

__all__ = ["DIP", "code_covariance"]

FORMS = ("I", "II")


class DIP(Disentangling):
    """The ELBO of DIP-VAE, with weights on the covariance S of the codes over the batch.

        ELBO - off_diagonal sum_{i != j} S_ij^2 - diagonal sum_i (S_ii - 1)^2

        I:   S = Cov_x(E_q[z | x])                            II:  S = Cov_x(E_q[z | x]) + E_x(Cov_q[z | x]) = Cov_q[z]

    Form I says nothing of the guide's variances, which make q(z) wider than the prior; form II is of q(z) itself. S is of the
    batch, with divisor B, and so low: a small batch pulls the codes, too. What is reported is the ELBO, a lower bound on
    log p(x), in nats per datum, (B,).

    Args:
        form: "I" or "II".
        off_diagonal: weight of the squared covariances.
        diagonal: weight of the squared differences of the variances from 1; published is 10 times the other in form I, and as
            much in form II.
        kl: "analytic" where it has a closed form, or "sampled".
        num_particles: K draws a datum.

    References: Kumar, Sattigeri and Balakrishnan, Variational Inference of Disentangled Latent Concepts from Unlabeled
    Observations, 2018, Eq. (6) and (7); Locatello et al., 2019, Table 2 (the weights).
    """

    separable = False

    def __init__(
        self,
        form: str = "II",
        off_diagonal: float = 10.0,
        diagonal: float = 10.0,
        kl: str = "analytic",
        num_particles: int = 1,
    ) -> None:
        super().__init__(kl, num_particles)
        if form not in FORMS:
            raise nearest("form of dip", form, FORMS)
        self.require_weight("off_diagonal", off_diagonal)
        self.require_weight("diagonal", diagonal)
        self.form, self.off_diagonal, self.diagonal = form, off_diagonal, diagonal

    @property
    def weights(self) -> dict[str, float]:
        """The two weights."""
        return {"off_diagonal": self.off_diagonal, "diagonal": self.diagonal}

    def trace(self, given: Given, batch: int = 0) -> PairTrace:
        """The pair's trace of K particles; refuses a guide whose codes have no covariance in closed form."""
        traced = super().trace(given, batch)
        if not torch.is_grad_enabled():  # before training and at validation; a compiled step must not look at values
            refuse_dependent(traced)
            code_covariance(traced, self.form)
        return traced

    def updates(self, given: Given) -> Updates:
        """The one update."""
        traced = self.trace(given)
        bound = self.elbo.terms(traced).bound
        if not torch.is_grad_enabled():
            yield Update("pair", -bound.mean(), bound)
            return {}
        covariance = code_covariance(traced, self.form)
        variances = covariance.diagonal()
        off_diagonal = covariance.square().sum() - variances.square().sum()
        diagonal = (variances - 1).square().sum()
        weights = {name: given.schedule.get(name, value) for name, value in self.weights.items()}
        penalty = weights["off_diagonal"] * off_diagonal + weights["diagonal"] * diagonal
        yield Update("pair", penalty - bound.mean(), bound)
        return traced.next_state()


def code_covariance(traced: PairTrace, form: str) -> Tensor:
    """S, (d, d), of the codes of all latent sites over a batch, with divisor B, differentiable.

    Args:
        traced: of K particles.
        form: "I", of the means given x alone, or "II", of the codes.

    Raises:
        ContractError: a site that is masked, or has no mean or variance in closed form.
    """
    means, within = [], []
    for name, site in traced.guide_sites.items():
        if site_masks(site):
            raise ContractError(f"site {name!r} is masked, and has no code where it is, so the codes have no covariance.")
        found = moments(traced, name)
        means.append(found.mean.reshape(len(found.mean), -1))
        base = base_of(site["fn"])
        if not base.event_shape:
            within.append(found.variance.reshape(len(found.variance), -1).mean(0).diag())
        elif hasattr(base, "covariance_matrix"):
            width = means[-1].shape[1]
            within.append(base.covariance_matrix.expand(*traced.shape, width, width)[0].mean(0))
        else:
            raise ContractError(
                f"site {name!r} ({type(base).__name__}) has dimensions that depend on each other, and no covariance in closed "
                "form; use a guide whose dimensions are independent (.to_event), such as DiagonalGaussian."
            )
    codes = torch.cat(means, 1)
    centred = codes - codes.mean(0)
    covariance = centred.T @ centred / len(codes)
    return covariance if form == "I" else covariance + torch.block_diag(*within)
