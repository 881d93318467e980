# %% [markdown]
r"""
# ELBO, L_k, log p(x), and reconstructions by resampling

    python -m benchmarks run bounds --budget cpu

For k draws of the guide, the importance-weighted bound is (Burda, Grosse and Salakhutdinov, Importance Weighted Autoencoders,
2016, Eq. 8)

$$L_k(x) = E_{z_1 \ldots z_k \sim q(z \mid x)}\left[\log \frac1k \sum_{i=1}^k w_i\right], \qquad
w_i = \frac{p(x, z_i)}{q(z_i \mid x)}.$$

Its Theorem 1: $L_1 = ELBO \le L_k \le L_{k+1} \le \log p(x)$, and $L_k \to \log p(x)$ where the weights are bounded. The
reason for the first part: choose m of k draws at random, I; then the mean of the k weights is the expectation over I of the
mean of those m, and Jensen's inequality moves the expectation out of the logarithm.

A latent space of two dimensions lets us check it: there log p(x) is an integral over a plane, which a grid does.
"""

# %%
from __future__ import annotations

import math

import torch
from torch import Tensor

import pyrovae as pv
from benchmarks.worked.example import BLUE, GREEN, GREY, ORANGE, Example, mosaic, panels
from pyrovae.core.trace import trace_pair
from pyrovae.evaluation.latents import posterior_moments

example = Example()
torch.manual_seed(0)

# %% [markdown]
r"""
## A VAE with two latent dimensions

Trained with the ELBO, on MNIST with pixels drawn anew each epoch. (`--budget smoke` takes the 8x8 digits.)
"""

# %%
data = pv.data.load(example.choose("mnist", "digits"))
pair = pv.pairs.vae(data.spec, latent_dim=2, hidden=example.choose((200, 200), (50,)))
run = pv.fit(
    pair, data, "meanfield", epochs=example.choose(15, 12), lr=example.choose(2e-3, 5e-3), validate=False, progress=False
)
model, guide = pair.model, pair.guide
rows = torch.randperm(len(data.test), generator=torch.Generator().manual_seed(0))[: example.choose(200, 50)]
x = data.test[rows]["x"]

# %% [markdown]
r"""
## log p(x) by a grid, and the bounds below it

The grid is a midpoint rule on [-5, 5] x [-5, 5], whose cell must be small beside the posteriors; two grids tell the error.
"""


# %%
@torch.no_grad()
def on_grid(x: Tensor, side: int, half: float = 5.0) -> tuple[Tensor, Tensor, Tensor]:
    """The points of a grid, (G, 2); the log of the prior's mass in their cells, (G, 1); log p(x_n | z_g), (G, N)."""
    line = ((torch.arange(side) + 0.5) / side * 2 - 1) * half
    z, flat, parts = torch.cartesian_prod(line, line), x.flatten(1), []
    for part in z.split(10_000):  # log p(x | z) = x'h - sum log(1 + e^h), h the logits
        h = model.decoder(part).flatten(1)
        parts.append(h @ flat.T - torch.nn.functional.softplus(h).sum(1, keepdim=True))
    prior = 2 * math.log(2 * half / side) - math.log(2 * math.pi) - z.square().sum(1, keepdim=True) / 2
    return z, prior, torch.cat(parts)


side = example.choose(500, 200)
grid, prior, likelihood = on_grid(x, side)
exact = (prior + likelihood).logsumexp(0)
_, coarse_prior, coarse = on_grid(x, 7 * side // 10)
error = exact - (coarse_prior + coarse).logsumexp(0)
example.tell(log_p_grid=float(exact.mean()), grid_error=float(error.mean().abs()), grid_largest_error=float(error.abs().max()))

# %% [markdown]
r"""
L_k is estimated afresh many times for small k. What it lacks is averaged datum by datum, so that its error is free of the
spread of log p(x) over data. Beside it draws of which a tenth are the prior's (`defensive=0.1`): where the weights of the
guide have heavy tails, as k-hat above 0.7 tells without any grid, the climb of L_k is slow, and such a mixture, whose weights
are bounded, is the remedy in so few dimensions.
"""

# %%
ks = example.choose((1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000), (1, 10, 100, 1000))
draws, lacks, errors, mixed = example.choose(200, 40), [], [], []
for k in ks:
    again = [pv.log_evidence((model, guide), x, num_samples=k, seed=seed).value - exact for seed in range(max(2, draws // k))]
    lacks.append(float(torch.stack(again).mean()))
    errors.append(float(torch.stack(again).mean(1).std()) / len(again) ** 0.5)
    if k >= 10:
        mixture = pv.log_evidence((model, guide), x, num_samples=k, defensive=0.1)
        mixed.append(float((mixture.value - exact).mean()))
ais = pv.log_evidence((model, guide), x, method="ais", num_chains=8, num_distributions=example.choose(200, 50))
heavy = float((pv.log_evidence((model, guide), x, num_samples=1000).khat > 0.7).float().mean())
example.tell(k=ks, bound_minus_log_p=lacks, error=errors, ais_minus_log_p=float((ais.value - exact).mean()))
example.tell(defensive_minus_log_p=mixed, ais_error=ais.mean_mc_stderr, heavy_tails=heavy)

# %% [markdown]
r"""
## Where the k draws end: q_IW

L_k is also an ELBO, of another guide (Cremer, Morris and Duvenaud, Reinterpreting Importance-Weighted Autoencoders, 2017):
draw k from q, keep one with probability proportional to its weight. For k = 1 that is q; as k grows it tends to the
posterior. So reconstructions of a VAE, too, are better drawn from q_IW:

$$z_1 \ldots z_k \sim q(z \mid x), \quad j \sim \mathrm{Categorical}(w_1 \ldots w_k), \quad \hat x = E[x \mid z_j].$$

What is measured: E[log p(x | z)] under q_IW, and under the posterior by the grid.
"""


# %%
@torch.no_grad()
def resampled(x: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """One draw of q_IW for each of x, the survivor of k draws of the guide, (B, 2), and its log p(x | z), (B,)."""
    traced = trace_pair(model, guide, {"x": x}, k)
    chosen = torch.distributions.Categorical(logits=traced.log_weight.T).sample()
    rows = torch.arange(len(x))
    return traced.latents["z"][chosen, rows], traced.log_p["x"][chosen, rows]


torch.manual_seed(0)
fits = {}
resampling_ks = example.choose((1, 10, 100, 1000), (1, 10, 100))
for k in resampling_ks:
    scores = torch.stack([resampled(x, k)[1] for _ in range(20)])
    fits[str(k)] = {"mean": float(scores.mean()), "error": float(scores.mean(1).std()) / 20**0.5}
posterior = (prior + likelihood - exact).exp()
fits["posterior"] = {"mean": float((posterior * likelihood).sum(0).mean())}
example.tell(log_likelihood=fits)

# %%
figure, (left, right) = panels(8.0, 3.2, 2)
left.errorbar(ks, lacks, yerr=[2 * e for e in errors], marker="o", ms=4, color=BLUE, capsize=2, label="$L_k$")
left.plot(ks[-len(mixed) :], mixed, marker="o", ms=3, lw=1, color=GREEN, label="with a tenth from the prior")
left.axhline(0, color=GREY, lw=3, zorder=0, label="log p(x), grid")
left.axhline(float((ais.value - exact).mean()), color=ORANGE, lw=1, ls="--", label="AIS, 8 chains")
left.set(xscale="log", xlabel="k", ylabel="bound - log p(x) (nats per datum)")
means = [fits[str(k)]["mean"] for k in resampling_ks]
right.plot(resampling_ks, means, marker="o", ms=4, color=BLUE, label="z from $q_{IW}$")
right.axhline(fits["posterior"]["mean"], color=GREY, lw=3, zorder=0, label="z from p(z | x), grid")
right.set(xscale="log", xlabel="k", ylabel="E[log p(x | z)] (nats per datum)")
for one in (left, right):
    one.legend(frameon=False, fontsize=8, loc="lower right")
example.show(figure, "bounds")

# %% [markdown]
r"""
What the guide misses: the posteriors of four data on the grid (bright), two scales of q (white), and 300 draws of q_IW with
k = 100 (blue). The data are in order of how much the ELBO lacks, at 50, 70, 85 and 95 percent of them.
"""

# %%
elbo = pv.log_evidence((model, guide), x, num_samples=200).elbo
order = (exact - elbo).argsort()
moments = posterior_moments((model, guide), x)["z"]
circle = torch.linspace(0, 6.29, 60)
ring = torch.stack([circle.cos(), circle.sin()], 1)
figure, axes = panels(9.6, 2.8, 4)
for axis, part in zip(axes, (0.5, 0.7, 0.85, 0.95), strict=True):
    n = order[int(part * len(x))]
    mean = (posterior[:, n, None] * grid).sum(0)
    spread = (posterior[:, n, None] * (grid - mean).square()).sum(0).sqrt()
    ellipse = moments.mean[n] + 2 * moments.scale[n] * ring
    draws, _ = resampled(x[n].expand(300, *x.shape[1:]), 100)
    axis.imshow(posterior[:, n].reshape(side, side).T.numpy(), origin="lower", extent=(-5, 5, -5, 5), cmap="magma")
    axis.plot(*ellipse.T, color="white", lw=1)
    axis.scatter(*draws.T, s=3, lw=0, color="#5fb0ff")
    low = torch.minimum(mean - 4 * spread, ellipse.amin(0)) - 0.1
    high = torch.maximum(mean + 4 * spread, ellipse.amax(0)) + 0.1
    half, (across, up) = float((high - low).max()) / 2, ((high + low) / 2).tolist()
    axis.set(xlim=(across - half, across + half), ylim=(up - half, up + half), xlabel="z[0]")
    axis.set_title(f"lacks {float(exact[n] - elbo[n]):.1f} nats", fontsize=9)
axes[0].set_ylabel("z[1]")
example.show(figure, "bounds-posteriors")

# %% [markdown]
r"""
Reconstructions, one draw each, of data of the upper third in that order.
"""

# %%
rows = order[torch.linspace(0.66 * len(x), 0.97 * len(x), 12).long()]
shown = x[rows]
chosen = torch.distributions.Categorical(posterior[:, rows].T).sample()
codes = [*(resampled(shown, k)[0] for k in (1, 10, 100)), grid[chosen]]
with torch.no_grad():
    pictures = [shown, *(torch.sigmoid(model.decoder(z).squeeze(1)) for z in codes)]
figure, (axis,) = panels(7.2, 3.1)
mosaic(axis, torch.stack(pictures), ["x", "q(z | x)", "$q_{IW}$, k = 10", "$q_{IW}$, k = 100", "p(z | x), grid"])
example.show(figure, "bounds-reconstructions")
