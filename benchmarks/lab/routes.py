"""Which loss of VAE/GAN reaches which parameters, measured: the gradient that a group would lose with the loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from unittest import mock

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn.functional import softplus

import pyrovae as pv
from benchmarks.lab import markdown
from benchmarks.lab.records import Row
from pyrovae.objectives import VAEGAN, Given
from pyrovae.objectives.moves import moved_parameters, prepare_objective
from pyrovae.objectives.vae_gan import Losses, feature_log_density, kl_of

__all__ = ["GROUPS", "LOSSES", "as_by_pythae", "draw_routes", "measured_routes", "norms", "routes", "routes_table"]

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


def measured_routes(data_name: str, tiny: bool) -> Row:
    """Both patterns of a pair with new parameters on grey images."""
    data = pv.data.load(data_name, binarization="none")
    sizes = {"channels": [4], "hidden": 16} if tiny else {"channels": [32, 64], "hidden": 256}
    torch.manual_seed(0)
    pair, batch = pv.pairs.vae_gan(data.spec, **sizes, layer=1, gamma=1.0), data.train[torch.arange(100)]
    objective = pv.objectives.get({**pair.objective, "generator": "saturating"})
    prepare_objective(objective, pair.model, pair.guide, batch)
    what = Given(pair.model, pair.guide, [batch])
    ours, theirs = routes(objective, what), as_by_pythae(objective, what)
    cosine = torch.nn.functional.cosine_similarity(ours["model"]["gan"], theirs["model"]["gan"], dim=0)
    return {"ours": norms(ours), "three backward passes": norms(theirs), "cosine": float(cosine)}


def routes_table(rows: Sequence[Row]) -> str:
    """Markdown: group by loss, both patterns of the last cell."""
    row, lines = rows[-1], []
    for group in GROUPS:
        ours, theirs = row["ours"][group], row["three backward passes"][group]
        lines.append([group, *(f"{one[loss]:.4g}" for one in (ours, theirs) for loss in LOSSES)])
    table = markdown.table(["gradient of", *LOSSES, *(f"{loss}, three backward passes" for loss in LOSSES)], lines)
    return f"{table}\n\nCosine of the two GAN gradients of the model: {row['cosine']:.2f}."


def draw_routes(row: Row) -> Figure:
    """Two matrices, groups by losses, shaded by the logarithm of the norm; exact zeros are white and say 0."""
    figure = Figure(figsize=(7.2, 2.9), layout="constrained")
    for axes, name in zip(figure.subplots(1, 2), ("ours", "three backward passes"), strict=True):
        table = np.array([[row[name][group][loss] for loss in LOSSES] for group in GROUPS])
        logs = np.log10(np.where(table > 0, table, np.nan))
        axes.imshow(logs, cmap="Blues", vmin=np.nanmin(logs) - 1, vmax=np.nanmax(logs) + 1)
        for i, j in np.ndindex(table.shape):
            text = "0" if table[i, j] == 0 else f"{table[i, j]:.2g}"
            if name != "ours" and (GROUPS[i], LOSSES[j]) == ("model", "gan"):
                text += f"\ncosine {row['cosine']:.2f}"  # with the gradient that it should be
            axes.text(j, i, text, ha="center", va="center", fontsize=9)
        axes.set_xticks(range(3), [f"L_{loss}" for loss in LOSSES])
        axes.set_yticks(range(3), GROUPS)
        axes.set_title("gradients as routed" if name == "ours" else "of three backward passes", fontsize=9)
    return figure
