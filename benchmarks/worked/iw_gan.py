# %% [markdown]
r"""
# GAN and VAE as sleep and wake: weights of draws, and draws as data

    python -m benchmarks run iw-gan --budget cpu

Let y say where x comes from: y = 1 data, y = 0 the generator. A discriminator is an inference network q(y | x), and
$q^r(y | x) = q(1 - y | x)$ has the two exchanged. A GAN's generator maximizes $E_{p(y)} E_{p(x | y)} \log q^r(y | x)$, and
Hu, Yang, Salakhutdinov and Xing (On Unifying Deep Generative Models, 2018, Lemma 1) show what that is: with
$q^r(x | y) \propto q^r(y | x) p(x)$, p(x) the mixture of both sources at the parameters of the moment,

$$\nabla_\theta \Big[-E_{p(y)} E_{p_\theta(x | y)} \log q^r(y | x)\Big]
= \nabla_\theta \Big[E_{p(y)} KL\big(p_\theta(x | y) \,\|\, q^r(x | y)\big) - JSD\big(p_\theta(x | 0), p(x | 1)\big)\Big].$$

A KL from the generator to a target that the discriminator leans towards the data: it forgives a generator that leaves data
out. A VAE minimizes a KL the other way round, which forgives nothing that is left out, and pays little for draws where no data
are. Once both are variational inference, what is known of one can be tried on the other.
"""

# %%
from __future__ import annotations

import math

import torch
from matplotlib.figure import Figure
from torch import Tensor

import pyrovae as pv
from benchmarks.worked.example import BLUE, GREY, ORANGE, Example, panels
from pyrovae.objectives.wake_sleep_gan import energy_score, log_reversed

example = Example()
torch.manual_seed(0)

# %% [markdown]
r"""
## Lemma 1 on four states

x takes four values, the generator is the softmax of four parameters, the discriminator any four logits: both sides of the
lemma are sums. Largest difference of the two gradients over 200 random draws of everything:
"""


# %%
def both_sides(theta: Tensor, data: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
    """The gradients on the two sides of Lemma 1, (4,)."""
    generated = theta.softmax(0)
    own = torch.stack([log_reversed(logits, generated=True), log_reversed(logits, generated=False)])
    (left,) = torch.autograd.grad(-((generated * own[0]).sum() + (data * own[1]).sum()) / 2, theta, retain_graph=True)
    both = torch.stack([generated, data])
    target = own.exp() * both.mean(0).detach()
    target = target / target.sum(1, keepdim=True)
    kl = (both * (both.log() - target.log())).sum(1).mean()
    jsd = (both * (both.log() - both.mean(0).log())).sum(1).mean()
    (right,) = torch.autograd.grad(kl - jsd, theta)
    return left, right


def state() -> Tensor:
    """Four random numbers."""
    return torch.randn(4, dtype=torch.float64)


sides = [both_sides(state().requires_grad_(), state().softmax(0), state()) for _ in range(200)]
example.tell(
    lemma_largest_difference=max(float((left - right).abs().max()) for left, right in sides),
    lemma_largest_gradient=max(float(left.abs().max()) for left, _ in sides),
)

# %% [markdown]
r"""
## A ring of eight

Eight Gaussians of sd 0.1 on a circle of radius 2. Four generators of the same networks, 2-64-64-2: the GAN (`iw-gan` with
uniform weights), the GAN whose draws are weighted by the odds q / (1 - q) that they are data (`iw-gan`), the VAE, and the VAE
that also learns from its own draws, data and draws weighted by q (`aa-vae`). Pictures of GANs are means; of VAEs, whose
likelihood has a scale of its own, they are draws.
"""

# %%
CENTRES = 2 * torch.stack([torch.tensor([math.cos(a), math.sin(a)]) for a in torch.arange(8) * math.pi / 4])
SD, NEAR = 0.1, 0.4  # a draw within four sds of a centre is one of its cluster


def ring(n: int) -> Tensor:
    """n draws of the data, (n, 2)."""
    return CENTRES[torch.randint(8, (n,))] + SD * torch.randn(n, 2)


FITS = {
    "GAN": ("iw-gan:weighting=uniform,hidden=64", "mean"),
    "weighted GAN": ("iw-gan:hidden=64", "mean"),
    "VAE": ("meanfield", "draw"),
    "VAE on own draws": ("aa-vae:hidden=64", "draw"),
}
data = pv.data.as_data((ring(example.choose(20_000, 1000)), ring(1000)))
epochs = example.choose(60, 2)
quiet = {"validate": False, "progress": False, "compile": example.choose(None, False), "batch_size": example.choose(500, 100)}
test, drawn, found = ring(2000), {}, {}
for name, (objective, kind) in FITS.items():
    torch.manual_seed(0)
    pair = pv.pairs.vae(data.spec, latent_dim=2, hidden=[64, 64], activation="relu", likelihood="gaussian", scale="shared")
    pv.fit(pair, data, objective, epochs=epochs, lr=1e-3, **quiet)
    with torch.no_grad():
        fn = pair.model.likelihood(pair.model.decoder(torch.randn(2000, 2)))
        draws = fn.mean if kind == "mean" else fn.sample()
    nearest = torch.cdist(draws, CENTRES).min(1)
    close = nearest.values < NEAR
    counts = torch.bincount(nearest.indices[close], minlength=8)
    drawn[name] = draws
    found[name] = {
        "energy_score": float(energy_score(test, draws).mean()),
        "near_a_cluster": float(close.float().mean()),
        "clusters": int((counts > 2000 / 8 / 5).sum()),  # with a fifth of their share at least
    }
found["data"] = {"energy_score": float(energy_score(test, ring(2000)).mean())}
example.tell(**found)


# %%
def scatter() -> Figure:
    """Draws of each generator over the data."""
    figure, axes = panels(10.0, 2.8, 4)
    for one, (name, draws) in zip(axes, drawn.items(), strict=True):
        one.scatter(*test[:600].T.numpy(), s=2, color=GREY, alpha=0.5)
        one.scatter(*draws[:600].T.numpy(), s=2, color=ORANGE if "GAN" in name else BLUE)
        one.set_title(f"{name}: {found[name]['near_a_cluster']:.0%} near, {found[name]['clusters']} of 8", fontsize=8)
        one.set(xlim=(-3, 3), ylim=(-3, 3), aspect="equal")
    return figure


example.show(scatter(), "iw-gan-ring")
