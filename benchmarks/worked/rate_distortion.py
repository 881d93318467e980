# %% [markdown]
r"""
# The weight of the KL, and the rate-distortion curve

    python -m benchmarks run rate-distortion --budget cpu

The two terms of the ELBO have names in coding theory (Alemi et al., Fixing a Broken ELBO, 2018):

$$D = -E_x E_{q(z \mid x)}[\log p(x \mid z)] \;\text{(distortion)}, \qquad
R = E_x KL(q(z \mid x)\,\|\,p(z)) \;\text{(rate)}, \qquad ELBO = -(D + R).$$

R bounds from above what z can say of x (the mutual information of q), D is what z leaves to be said. What is possible: $D
\ge 0$ for binary x, $R \ge 0$, and D + R is never below the entropy of the data. A model with a good ELBO may sit anywhere
on the line D + R = const: at R = 0 with a decoder that needs no z, or far along it with one that does.

A beta-VAE (Higgins et al., 2017) minimizes $D + \beta R$, so that at its optimum $dD/dR = -\beta$: sweeping beta walks along
the curve of the family. beta < 1 buys reconstructions with codes that no prior draw hits; beta > 1 buys cheap codes, and at
the end none at all, posterior collapse.
"""

# %%
from __future__ import annotations

import math

import torch

import pyrovae as pv
from benchmarks.worked.example import BLUE, GREY, ORANGE, Example, mosaic, panels

example = Example()
torch.manual_seed(0)

# %% [markdown]
r"""
## One VAE for each beta

beta belongs to the objective, not to the model or the guide: the pair is a plain `vae` each time, and its log p(x), its ELBO
and its KL are those of a VAE. (`--budget smoke` takes the 8x8 digits.)
"""

# %%
data = pv.data.load(example.choose("binary-mnist", "digits"), **example.choose({}, {"binarization": "fixed"}))
betas = example.choose((0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0), (0.01, 0.1, 1.0, 100.0))
rows = torch.randperm(len(data.test), generator=torch.Generator().manual_seed(0))[: example.choose(2000, 250)]
parts = {"train": data.train[rows % len(data.train)]["x"], "test": data.test[rows]["x"]}
pairs, found = {}, {part: {"D": [], "R": []} for part in parts}
log_p, active = [], []
for beta in betas:
    torch.manual_seed(1)
    pairs[beta] = pair = pv.pairs.vae(data.spec, latent_dim=example.choose(20, 5), hidden=(200,), activation="relu")
    settings = {"epochs": example.choose(10, 15), "batch_size": example.choose(200, 100), "lr": example.choose(2e-3, 5e-3)}
    pv.fit(pair, data, {"name": "meanfield", "beta": beta}, validate=False, progress=False, compile=False, **settings)
    for part, x in parts.items():
        evaluation = pv.evaluate(pair, x, num_samples=example.choose(100, 50))
        rate = evaluation.kl["z"].total
        found[part]["R"].append(rate)
        found[part]["D"].append(-evaluation.elbo[0] - rate)
    log_p.append(evaluation.evidence.mean)
    active.append(int(evaluation.active_units["z"].sum()))
example.tell(betas=betas, **found, log_p=log_p, active_units=active)

# %% [markdown]
r"""
## Is the slope -beta?

Between two neighbours on the curve of the training data the slope should lie between their two -beta. Where it does not,
training has not converged, or networks of limited size cannot follow.
"""

# %%
distortion, rate = found["train"]["D"], found["train"]["R"]
slopes = {}
for i in range(len(betas) - 1):
    if rate[i] - rate[i + 1] > 0.1:
        slopes[f"{betas[i]:g} to {betas[i + 1]:g}"] = (distortion[i] - distortion[i + 1]) / (rate[i] - rate[i + 1])
elbo = [-(d + r) for d, r in zip(found["test"]["D"], found["test"]["R"], strict=True)]
example.tell(slopes=slopes, test_elbo=elbo, best_beta=betas[elbo.index(max(elbo))])

# %%
figure, (left, right) = panels(8.6, 3.5, 2)
best = min(d + r for d, r in zip(found["test"]["D"], found["test"]["R"], strict=True))
most = max(rate) * 1.05
left.plot([0, best], [best, 0], color=GREY, lw=1, label=f"D + R = {best:.0f}, the best ELBO")
for (part, points), color in zip(found.items(), (ORANGE, BLUE), strict=True):
    left.plot(points["R"], points["D"], marker="o", ms=4, color=color, label=part)
near = None
for beta, r, d in zip(betas, found["test"]["R"], found["test"]["D"], strict=True):
    if near is None or math.dist(near, (r / most, d / max(distortion))) > 0.06:
        left.annotate(f"{beta:g}", (r, d), (4, 5), textcoords="offset points", fontsize=7)
        near = (r / most, d / max(distortion))
left.set(xlabel="rate R (nats per datum)", ylabel="distortion D (nats per datum)", xlim=(-0.02 * most, most), ylim=(0, None))
left.set_title("the numbers are beta", fontsize=9)
right.plot(betas, log_p, marker="o", ms=4, color=BLUE, label="log p(x)")
right.plot(betas, elbo, marker="o", ms=4, color=ORANGE, label="ELBO")
right.set(xscale="log", xlabel="beta", ylabel="test data, nats per datum")
for one in (left, right):
    one.legend(frameon=False, fontsize=8)
example.show(figure, "rate-distortion")

# %% [markdown]
r"""
## What it looks like

Reconstructions (upper rows) need rate; samples of the prior (lower rows) need codes that fill the prior.
"""

# %%
torch.manual_seed(0)
shown = [beta for beta in (0.01, 0.1, 1.0, 3.0, 10.0) if beta in pairs]
x = parts["test"][:10]
again = [pv.reconstruct(pairs[beta], x) for beta in shown]
drawn = [pv.sample(pairs[beta], 10, mean=True)["x"] for beta in shown]
figure, (left, right) = panels(9.6, 2.9, 2)
names = [f"beta = {beta:g}" for beta in shown]
mosaic(left, torch.stack([x, *again]), ["x", *names])
mosaic(right, torch.stack(drawn), names)
for axis in (left, right):
    axis.set_anchor("S")
left.set_title("E[x | z], z ~ q(z | x)", fontsize=9)
right.set_title("E[x | z], z ~ p(z)", fontsize=9)
example.show(figure, "rate-distortion-images")
