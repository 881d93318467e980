"""The adversarial autoencoder with a class among its codes: a discriminator each, labels for some data, heads apart."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pyrovae.core.program import innermost
from pyrovae.core.sites import sample_sites
from pyrovae.core.trace import PairTrace, run_program
from pyrovae.effects.softened import OneHotDraws
from pyrovae.errors import ContractError
from pyrovae.objectives.adversarial import AAE, codes_of, discriminator, known_labels, noisy
from pyrovae.objectives.objective import Given, Update, Updates

__all__ = ["AAEClasses"]

HEADS = "model.decoder.heads"


class AAEClasses(AAE):
    """The adversarial autoencoder of a class y and a style z, each told from its prior by a discriminator of its own.

        reconstruct (model, guide):     -E_q[log p(x | y, z)]
        discriminate (D_y, D_z):        E_p(y)[softplus(-D_y)] + E_q(y)[softplus(D_y)], and the same of z
        deceive (guide):                E_q(y)[softplus(-D_y)] + E_q(z)[softplus(-D_z)]
        classify (guide):               -mean over the batch's labelled rows of log q(y_b | x_b)
        separate (heads of the model):  -sum_{i<j} min(|W_i - W_j|, distance)

    In this order, each at the parameters that the one before it left. Of a one-hot site the codes are its probabilities, a
    point of the simplex, which the model takes too; its draws of the prior are one-hot. The fourth update is there with
    ``classify``, where the guide's site is ``y`` and the batch has labels, -1 where they are unknown; the last with
    ``head_distance``, where the decoder has ``heads``, W (C, d), that it adds to z (:class:`~pyrovae.nets.HeadDecoder`).
    What is reported is E_q[log p(x | y, z)], in nats per datum, **no** bound on log p(x).

    Logged beside the losses: what :class:`AAE` logs, of each discriminator under its site's name.

    Args:
        hidden: width of the two hidden layers of each discriminator.
        classify: whether labels train the guide's class.
        head_distance: which any two heads are pushed apart to.
        noise: standard deviation of Gaussian noise on what the discriminators see.
        num_particles: K.

    Raises:
        ContractError: a site without a differentiable draw; with ``classify`` no ``y`` in the batch or the guide; with
            ``head_distance`` no heads.

    References: Makhzani, Shlens, Jaitly, Goodfellow and Frey, Adversarial Autoencoders, 2016, Sections 5 to 7.
    """

    moves = {**AAE.moves, "classify": ("guide",), "separate": (HEADS,)}

    def __init__(
        self,
        hidden: int = 1000,
        classify: bool = True,
        head_distance: float | None = None,
        noise: float = 0.0,
        num_particles: int = 1,
    ) -> None:
        super().__init__(hidden, noise=noise, num_particles=num_particles)
        if head_distance is not None:
            self.require_weight("head_distance", head_distance)
        self.classify, self.head_distance = classify, head_distance
        off = {"classify": not classify, "separate": head_distance is None}
        self.moves = {update: groups for update, groups in type(self).moves.items() if not off.get(update)}

    @property
    def separable(self) -> bool:  # type: ignore[override]
        """Whether the loss is the mean of its rows': not with labels, which some rows have."""
        return not self.classify

    def build(self, traced: PairTrace) -> None:
        """Make a discriminator for each latent site, once."""
        if self.networks is None:
            parts = {name: codes_of({name: z}) for name, z in traced.latents.items()}
            made = {name: discriminator(z.shape[-1], self.hidden).to(z.device) for name, z in parts.items()}
            self.networks = nn.ModuleDict(made)

    def trace(self, given: Given, batch: int = 0) -> PairTrace:
        """The pair's trace of K particles; refuses one that the estimator does not serve."""
        traced = super().trace(given, batch)
        if self.classify:
            known_labels(given.batches[batch], repr(self))
            if "y" not in traced.latents:
                raise ContractError(f"{self!r} trains a class 'y' by labels, and the guide's sites are {[*traced.latents]}.")
        if self.head_distance is not None:
            heads_of(given)
        return traced

    def judged(self, values: dict[str, Tensor], given: Given) -> dict[str, Tensor]:  # type: ignore[override]
        """What each discriminator sees of codes or draws, (K, B, D)."""
        return {name: noisy(codes_of({name: value}), self.noise) for name, value in values.items()}

    def updates(self, given: Given) -> Updates:
        """The updates, in the order that the class states."""
        state = yield from super().updates(given)
        if self.classify:
            yield Update("classify", self.cross_entropy(given))
        if self.head_distance is not None:
            yield Update("separate", -spread(heads_of(given), self.head_distance))
        return state

    def cross_entropy(self, given: Given) -> Tensor:
        """-log q(y_b | x_b) on average over the labelled rows, in nats, 0-d; 0 where there are none."""
        labels = known_labels(given.batch, repr(self))
        with OneHotDraws():
            sites = sample_sites(run_program(given.guide, given.batch, self.num_particles))
        logits = sites["y"]["fn"].logits.log_softmax(-1)
        chosen = (logits * (labels.unsqueeze(-1) == torch.arange(logits.shape[-1], device=labels.device))).sum(-1)
        loss: Tensor = -(chosen.mean(0) if chosen.dim() > 1 else chosen).sum() / (labels >= 0).sum().clamp_min(1)
        return loss


def heads_of(given: Given) -> Tensor:
    """W, (C, d), of the model's decoder; ContractError where it has none."""
    heads = getattr(getattr(innermost(given.model), "decoder", None), "heads", None)
    if not isinstance(heads, Tensor):
        raise ContractError("head_distance separates the heads of model.decoder, and it has none; use nets.HeadDecoder.")
    return heads


def spread(heads: Tensor, distance: float) -> Tensor:
    """The sum over pairs of heads, (C, d), of their distance, of each at most ``distance``, 0-d.

    >>> float(spread(torch.tensor([[0.0], [1.0], [5.0]]), 2.0))
    5.0
    """
    one, other = torch.triu_indices(len(heads), len(heads), 1, device=heads.device)
    apart: Tensor = (heads[one] - heads[other]).norm(dim=-1)
    return apart.clamp_max(distance).sum()
