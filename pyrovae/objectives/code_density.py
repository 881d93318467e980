"""What fits a prior to the codes of an autoencoder that was trained without it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from pyrovae.core.program import Program, describe
from pyrovae.core.sites import sample_sites
from pyrovae.core.trace import run_program
from pyrovae.errors import ContractError
from pyrovae.objectives.objective import Given, Objective, Update, Updates

__all__ = ["CodeDensity"]


class CodeDensity(Objective):
    """The log density of codes under the model's prior, in nats per datum, (B,): **no** bound on log p(x).

        maximized in p(z) alone:  E_q[log p(z)],   z ~ q(z | x)

    The prior is ``model.prior``, a module, and alone is moved: nothing else of the model, and nothing of the guide. One that
    has a method ``fit(codes)``, as :class:`~pyrovae.distributions.MixturePrior`, is first fitted to the codes of the training
    data, (N, d), and gradients then have little to add; a resumed run goes on from what it had.

    Args:
        num_particles: K, over which the mean is taken; one does where the encoder is deterministic.

    References: Ghosh, Sajjadi, Vergari, Black and Schoelkopf, From Variational to Deterministic Autoencoders, 2020, Section 4.
    """

    bound = "none"
    scores_guide = False
    moves = {"prior": ("model.prior",)}

    def begin(self, model: Program, guide: Program, batches: Iterable[Mapping[str, Tensor]]) -> None:
        """Fit the prior to codes of the training data, where it knows how."""
        fit = getattr(getattr(model, "prior", None), "fit", None)
        if callable(fit):
            with torch.no_grad():
                fit(torch.cat([self.code(run_program(guide, batch, 1)) for batch in batches]))

    def code(self, traced: object) -> Tensor:
        """The value of the guide's one latent site, (B, d)."""
        latent = [site["value"] for site in sample_sites(traced).values() if not site["is_observed"]]  # type: ignore[arg-type]
        value: Tensor = latent[0][0]
        return value

    def updates(self, given: Given) -> Updates:
        """The one update."""
        traced = self.trace(given)
        if list(traced.latents) != ["z"] or getattr(given.model, "prior", None) is None:
            raise ContractError(
                f"{describe(given.model)} has no learned prior of one latent site z (model.prior), which {self!r} fits to "
                "codes; use its usual objective, or pair rae."
            )
        value = traced.log_p["z"].mean(0)
        yield Update("prior", -value.mean(), value)
        return traced.next_state()
