"""Which loss of VAE/GAN reaches which parameters, measured: the gradient that a group would lose with the loss."""

from __future__ import annotations

from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.nn.functional import softplus

from pyrovae.objectives import VAEGAN, Given
from pyrovae.objectives.moves import moved_parameters
from pyrovae.objectives.vae_gan import Losses, feature_log_density, kl_of

__all__ = ["GROUPS", "LOSSES", "as_by_pythae", "norms", "routes"]

GROUPS = ("guide", "model", "discriminator")
LOSSES = ("prior", "like", "gan")
FIELDS = {"prior": ("prior",), "like": ("like",), "gan": ("gan", "deceive")}


def without(losses: Losses, name: str | None) -> Losses:
    """The losses with one of the three, or none, replaced by zeros that are no function of anything."""
    return losses._replace(**{part: torch.zeros_like(getattr(losses, part)) for part in FIELDS.get(name or "", ())})


def gradients(objective: VAEGAN, given: Given, left_out: str | None, seed: int) -> dict[str, Tensor]:
    """What each update would move its parameters by, as one vector a group, one loss left out."""
    torch.manual_seed(seed)
    moved, own = moved_parameters(objective, given.model, given.guide), type(objective).losses
    with mock.patch.object(type(objective), "losses", lambda self, *args: without(own(self, *args), left_out)):
        (updates,) = list(objective.updates(given))
    found = {}
    for update in updates:
        params = moved[update.name]
        parts: Any = [None] * len(params)
        if update.loss.requires_grad:
            parts = torch.autograd.grad(update.loss, params, retain_graph=True, allow_unused=True)
        found[update.name] = torch.cat(
            [(torch.zeros_like(p) if g is None else g).flatten() for p, g in zip(params, parts, strict=True)]
        )
    return found


Shares = dict[str, dict[str, Tensor]]  # group -> loss -> the part of the group's gradient that is the loss's


def routes(objective: VAEGAN, given: Given, seed: int = 0) -> Shares:
    """Group -> loss -> the gradient that the group gets from the loss, 0 where the loss changes nothing."""
    whole = gradients(objective, given, None, seed)
    left = {loss: gradients(objective, given, loss, seed) for loss in LOSSES}
    return {group: {loss: whole[group] - left[loss][group] for loss in LOSSES} for group in GROUPS}


def norms(shares: Shares) -> dict[str, dict[str, float]]:
    """Group -> loss -> Euclidean norm."""
    return {group: {loss: float(vector.norm()) for loss, vector in row.items()} for group, row in shares.items()}


def as_by_pythae(objective: VAEGAN, given: Given, scale: float = 0.5, seed: int = 0) -> Shares:
    """The same of three ``backward`` over one graph, each after ``zero_grad`` of its own group and before any step.

    That is the order of pythae's trainer, and its losses: encoder L_prior + L_like, decoder (1 - s) L_like - s L,
    discriminator L, where L = -log D(x) - log(1 - D(G(z_p))). Made again from what its code
    says; pythae itself does not run here.
    """
    moved = moved_parameters(objective, given.model, given.guide)
    every = [p for group in GROUPS for p in moved[group]]

    def accumulated(left_out: str | None) -> dict[str, Tensor]:
        torch.manual_seed(seed)
        traced = objective.trace(given)
        (name,) = traced.observed
        network: Any = objective.networks
        x, drawn = traced.model_sites[name]["value"], objective.prior(given)[name]["fn"].mean
        (h_x, on_x), (h_fake, _) = network.both(x), network.both(traced.model_sites[name]["fn"].mean)
        kept = {loss: float(loss != left_out) for loss in LOSSES}
        prior, like = kept["prior"] * kl_of(traced).mean(), -kept["like"] * feature_log_density(h_x, h_fake).mean()
        gan = kept["gan"] * (softplus(-on_x).mean() + softplus(network(drawn)).mean())
        for p in every:
            p.grad = None
        for group, loss in zip(GROUPS, (prior + like, (1 - scale) * like - scale * gan, gan), strict=True):
            for p in moved[group]:
                p.grad = None
            loss.backward(retain_graph=True)
        found = {group: [torch.zeros_like(p) if p.grad is None else p.grad for p in moved[group]] for group in GROUPS}
        for p in every:
            p.grad = None
        return {group: torch.cat([part.flatten() for part in parts]) for group, parts in found.items()}

    whole = accumulated(None)
    left = {loss: accumulated(loss) for loss in LOSSES}
    return {group: {loss: whole[group] - left[loss][group] for loss in LOSSES} for group in GROUPS}
