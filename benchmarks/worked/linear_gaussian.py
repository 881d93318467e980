# %% [markdown]
r"""
# The linear-Gaussian toy: every term of the ELBO in closed form, and what happens as sigma -> 0

    python -m benchmarks run linear-gaussian --budget cpu

One hidden number z, two seen ones x:

$$z \sim N(0, 1), \qquad x \mid z \sim N(w z, \sigma^2 I_2).$$

Everything about it is Gaussian and known (Tipping and Bishop, Probabilistic Principal Component Analysis, 1999):

$$p(x) = N(x; 0,\, w w^T + \sigma^2 I), \qquad
p(z \mid x) = N\!\left(z;\; \frac{w^T x}{|w|^2 + \sigma^2},\; \frac{\sigma^2}{|w|^2 + \sigma^2}\right).$$

So it shows, to all digits, what a VAE's terms do: which encoder is best, what the bound loses with another, and how a VAE
turns into PCA, a deterministic autoencoder, as the noise goes.
"""

# %%
from __future__ import annotations

import math

import pyro
import pyro.distributions as dist
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

import pyrovae as pv
from benchmarks.worked.example import BLUE, GREEN, GREY, ORANGE, Example, panels

example = Example()
torch.manual_seed(0)
W = torch.tensor([1.2, 0.9])  # of length 1.5


# %% [markdown]
r"""
## The pair

The guide is linear with one variance, $q(z \mid x) = N(z; a^T x, s^2)$: the family that holds the posterior.
"""


# %%
class Model(nn.Module):
    """p(x, z) = N(z; 0, 1) N(x; w z, sigma^2 I)."""

    def __init__(self, sigma: float) -> None:
        super().__init__()
        self.sigma = sigma

    def forward(self, x: Tensor) -> None:
        with pyro.plate("data", x.shape[0], dim=-1):
            z = pyro.sample("z", dist.Normal(x.new_zeros(1), 1.0).to_event(1))
            pyro.sample("x", dist.Normal(z * W, self.sigma).to_event(1), obs=x)

    def log_evidence(self, x: Tensor) -> Tensor:
        """log p(x), exact."""
        return dist.MultivariateNormal(x.new_zeros(2), torch.outer(W, W) + self.sigma**2 * torch.eye(2)).log_prob(x)


class Guide(nn.Module):
    """q(z | x) = N(z; a'x, s^2)."""

    def __init__(self, a: Tensor, s: float) -> None:
        super().__init__()
        self.a, self.log_s = nn.Parameter(a.clone()), nn.Parameter(torch.tensor(s).log())

    def forward(self, x: Tensor) -> None:
        with pyro.plate("data", x.shape[0], dim=-1):
            pyro.sample("z", dist.Normal((x @ self.a).unsqueeze(-1), self.log_s.exp()).to_event(1))


def data(sigma: float, num: int) -> Tensor:
    """num draws of p(x), (num, 2)."""
    return pv.sample((Model(sigma), Guide(torch.zeros(2), 1.0)), num, like={"x": torch.zeros(1, 2)})["x"]


# %% [markdown]
r"""
## The ELBO in closed form

Both terms are expectations of squares under q:

$$L(a, s; x) = \underbrace{-\log 2\pi\sigma^2 - \frac{|x - w a^T x|^2 + |w|^2 s^2}{2\sigma^2}}_{E_q \log p(x \mid z)}
\;-\; \underbrace{\tfrac12\left((a^T x)^2 + s^2 - 1 - \log s^2\right)}_{KL(q\,\|\,p(z))}.$$

The first term is a squared error, plus a price on s: noise in z is noise in x. The second pulls the codes to the origin and
s to 1. Setting the derivatives to zero gives $a = w/(|w|^2 + \sigma^2)$ and $s^2 = \sigma^2/(|w|^2 + \sigma^2)$, the
posterior, where L = log p(x). Below, the surface L(a, s) of 2,000 data with a along w, by the formula, and its values by
`pv.log_evidence` on drawn z at some points of it.
"""


# %%
def terms(a: Tensor, s: Tensor, x: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
    """E_q[log p(x | z)] and KL(q || p(z)), means over data, in nats."""
    code, w2 = x @ a, float(W @ W)
    square = (x - code.unsqueeze(-1) * W).square().sum(-1) + w2 * s**2
    likelihood = -math.log(2 * math.pi * sigma**2) - square / (2 * sigma**2)
    kl = (code.square() + s**2 - 1 - 2 * s.log()) / 2
    return likelihood.mean(), kl.mean()


def best(sigma: float) -> tuple[Tensor, Tensor]:
    """The a and s at which the ELBO is log p(x)."""
    precision = W @ W + sigma**2
    return W / precision, sigma / precision.sqrt()


def bound(a: Tensor, s: Tensor, x: Tensor, sigma: float) -> float:
    """The ELBO, a mean over data, in nats per datum."""
    likelihood, kl = terms(a, s, x, sigma)
    return float(likelihood - kl)


SIGMA = 0.5
x = data(SIGMA, example.choose(2000, 300))
a, s = best(SIGMA)
exact = pv.log_evidence((Model(SIGMA), Guide(a, float(s))), x, method="exact").mean
example.tell(exact=exact, elbo_at_the_posterior=bound(a, s, x, SIGMA))
measured = {}
for name, (fa, fs) in {
    "posterior": (1, 1),
    "a / 2": (0.5, 1),
    "s x 2": (1, 2),
    "s / 4": (1, 0.25),
    "a = 0, s = 1": (0, 1 / s),
}.items():
    evidence = pv.log_evidence((Model(SIGMA), Guide(fa * a, float(fs * s))), x, num_samples=example.choose(2000, 400))
    error = float(evidence.elbo_stderr.square().sum().sqrt()) / len(x)
    measured[name] = {"elbo": float(evidence.elbo.mean()), "error": error, "formula": bound(fa * a, fs * s, x, SIGMA)}
example.tell(elbo_at=measured)

# %% [markdown]
r"""
## Training finds it

A loop of our own (`pv.fit` is one too, but we want to see the way) starts elsewhere, follows noisy gradients of drawn z, and
ends at the posterior, for every sigma.
"""


# %%
def trained(sigma: float) -> tuple[Guide, list[tuple[float, float]]]:
    """The guide that ascent on the ELBO finds, and its way in the plane of (a along w, s)."""
    torch.manual_seed(1)
    guide, way, steps = Guide(torch.tensor([-0.1, 0.3]), 1.2), [], example.choose(2000, 200)
    model, batches, unit = Model(sigma), data(sigma, 20_000), W / W.norm()
    optimizer = torch.optim.Adam(guide.parameters(), lr=0.05, betas=(0.9, 0.95))
    objective = pv.objectives.get("elbo", num_particles=4)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        rows = torch.randint(len(batches), (250,))
        optimizer.zero_grad()
        (objective.differentiable_loss(model, guide, x=batches[rows]) / len(rows)).backward()
        optimizer.step()
        scheduler.step()
        way.append((float(guide.a.detach() @ unit), float(guide.log_s.detach().exp())))
    return guide, way


# %% [markdown]
r"""
## As sigma -> 0

- The best encoder tends to $a = w/|w|^2$: the code of the orthogonal projection of x onto w. That is PCA.
- s tends to $\sigma/|w|$: the guide becomes a point, the encoder of a plain autoencoder.
- The KL grows like $-\log \sigma$ without limit, and the weight of the squared error like $1/2\sigma^2$, so that the KL's
  share of the gradient vanishes: the smaller sigma, the more a VAE is an autoencoder. (To scale the KL by beta is, up to a
  constant, to scale sigma^2 by beta.)
- Draws of the prior become useless: the share of them that counts falls like sigma.

In the other direction, sigma >> |w|, the best guide is the prior: a = 0, s = 1, KL = 0. That is posterior collapse, here the
right answer: such an x tells nothing about z.
"""

# %%
sigmas = example.choose((5.0, 2.0, 1.0, 0.5, 0.2, 0.1, 0.05), (2.0, 0.5))
found: dict[str, list[float]] = {name: [] for name in ("a", "s", "elbo", "log_p", "kl", "error", "prior_ess")}
ways = {}
for sigma in sigmas:
    x = data(sigma, example.choose(2000, 300))
    guide, ways[sigma] = trained(sigma)
    evidence = pv.log_evidence((Model(sigma), guide), x, num_samples=100)
    wide = pv.log_evidence((Model(sigma), Guide(torch.zeros(2), 1.0)), x, num_samples=1000)  # the prior as guide
    found["a"].append(float(guide.a.detach() @ W))  # 1 where w a'x is the projection
    found["s"].append(float(guide.log_s.detach().exp()))
    found["elbo"].append(float(evidence.elbo.mean()))
    found["log_p"].append(float(Model(sigma).log_evidence(x).mean()))
    found["kl"].append(pv.evaluate((Model(sigma), guide), x, num_samples=1).kl["z"].total)
    found["error"].append(float((x - pv.reconstruct((Model(sigma), guide), x, num_samples=1)).square().sum(1).mean()))
    found["prior_ess"].append(float((wide.ess / 1000).mean()))
example.tell(
    sigmas=sigmas, **found, best_a=[float(best(v)[0] @ W) for v in sigmas], best_s=[float(best(v)[1]) for v in sigmas]
)


# %%
def surface() -> Figure:
    """L(a, s) at one sigma with the way of training; data, posterior means and noise; the terms over sigma."""
    figure, (left, middle, right) = panels(10.8, 3.4, 3)
    x, unit = data(SIGMA, example.choose(2000, 300)), W / W.norm()
    side = example.choose(60, 15)
    along, scales = torch.linspace(-0.4, 1.4, side), torch.logspace(-1.2, 0.4, side)
    values = torch.tensor([[bound(v * unit, u, x, SIGMA) for v in along] for u in scales])
    top = float(Model(SIGMA).log_evidence(x).mean())
    levels = [top - gap for gap in (10, 5, 2, 1, 0.5, 0.2, 0.05)]
    lines = left.contour(along, scales, values, levels=levels, colors=GREY, linewidths=1, linestyles="solid")
    left.clabel(lines, fmt={level: f"-{top - level:.2g}" for level in levels}, fontsize=7)
    left.plot(*zip(*ways[SIGMA], strict=True), color=BLUE, lw=1, label="training")
    left.plot(float(best(SIGMA)[0] @ unit), float(best(SIGMA)[1]), "o", ms=5, color=ORANGE, label="p(z | x)")
    left.set(yscale="log", xlabel="a, along w", ylabel="s", title=f"L - log p(x) (nats), sigma = {SIGMA}")
    for sigma, color in ((2.0, ORANGE), (SIGMA, BLUE), (0.1, GREEN)):
        x = data(sigma, 60)
        means = (x @ best(sigma)[0]).unsqueeze(1) * W
        middle.scatter(*x.T, s=6, lw=0, color=color, label=f"sigma = {sigma}")
        middle.plot(*torch.stack([x, means], 0).unbind(-1), color=color, lw=0.5, alpha=0.6)
    middle.axline((0, 0), tuple(W.tolist()), color=GREY, lw=1, zorder=0)
    middle.set(xlim=(-4, 4), ylim=(-4, 4), aspect="equal", xlabel="$x_1$", ylabel="$x_2$", title="x and w E[z | x]")
    grid = torch.logspace(math.log10(min(sigmas)), math.log10(max(sigmas)), 50)
    curves = {"a'w": [], "s": [], "KL (nats)": []}
    for sigma in grid:
        a, s = best(float(sigma))
        curves["a'w"].append(float(a @ W))
        curves["s"].append(float(s))
        curves["KL (nats)"].append(-float(s.log()))
    dots = {"a'w": found["a"], "s": found["s"], "KL (nats)": found["kl"], "ESS of the prior / K": found["prior_ess"]}
    for (name, values), color in zip(dots.items(), (BLUE, ORANGE, GREEN, "black"), strict=True):
        right.plot(sigmas, values, "o" if name in curves else "o:", ms=4, color=color, label=name)
        if name in curves:
            right.plot(grid, curves[name], color=color, lw=1)
    right.set(xscale="log", xlabel="sigma", title="best guide: formula (lines), trained (dots)")
    for one in (left, middle, right):
        one.legend(frameon=False, fontsize=7)
        one.title.set_size(9)
    return figure


example.show(surface(), "linear-gaussian")
