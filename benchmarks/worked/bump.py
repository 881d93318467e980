# %% [markdown]
r"""
# A bump moved by one hidden number: autoencoder against VAE

    python -m benchmarks run bump --budget cpu

The data are pictures of one row of pixels, a bump whose place t is all that varies:

$$x_i = \exp\left(-\frac{(u_i - t)^2}{2 \cdot 0.05^2}\right), \qquad t \sim U(0.15, 0.85).$$

They form a curve in pixel space. An autoencoder with two latent numbers, z = f(x), x' = g(z), minimizes |x - x'|^2; a VAE with
the same networks maximizes the ELBO with noise in z and a price on it,

$$E_{q(z \mid x)}\left[-\frac{|x - g(z)|^2}{2 s^2}\right] - \beta\, KL(q(z \mid x)\,\|\,p(z)),
\qquad q(z \mid x) = N(z; m(x), \mathrm{diag}\, \sigma(x)^2).$$

The difference is two lines of the guide; what it does to the latent space is below.
"""

# %%
from __future__ import annotations

import math

import torch
from torch import Tensor

import pyrovae as pv
from benchmarks.worked.example import BLUE, GREEN, GREY, ORANGE, Example, panels
from pyrovae.evaluation.latents import posterior_moments

example = Example()
torch.manual_seed(0)
PIXELS, WIDTH, SCALE = 40, 0.05, 0.1  # s = 0.1 for all


def bumps(t: Tensor) -> Tensor:
    """Bumps at places t, (N, PIXELS)."""
    return torch.exp(-(torch.linspace(0, 1, PIXELS) - t.unsqueeze(-1)).square() / (2 * WIDTH**2))


data = pv.data.as_data(bumps(0.15 + 0.7 * torch.rand(example.choose(5000, 2000))))
t = torch.linspace(0.15, 0.85, 400)
x = bumps(t)

# %% [markdown]
r"""
## The two pairs

`pairs.ae` has a point as its guide and no prior, `pairs.vae` a Gaussian and N(0, I); `beta` is the objective's.
"""

# %%
settings = {"epochs": example.choose(120, 30), "lr": 2e-3, "validate": False, "progress": False, "compile": False}
networks = {"latent_dim": 2, "hidden": (100, 100), "likelihood": "gaussian", "scale": SCALE}


def trained(beta: float | None) -> pv.Pair:
    """The VAE with this weight of the KL, or the autoencoder where there is none."""
    torch.manual_seed(2)
    if beta is None:
        pair = pv.pairs.ae(data.spec, **networks)
        pv.fit(pair, data, "energy", **settings)
    else:
        pair = pv.pairs.vae(data.spec, **networks)
        pv.fit(pair, data, {"name": "meanfield", "beta": beta}, **settings)
    return pair


def codes(pair: pv.Pair) -> tuple[Tensor, Tensor]:
    """Means and scales of q(z | x) for bumps from left to right, (N, 2) each."""
    found = posterior_moments(pair, x)["z"]
    return found.mean, found.scale


@torch.no_grad()
def decoded(pair: pv.Pair, z: Tensor) -> Tensor:
    """g(z), (N, PIXELS)."""
    return pair.model.decoder(z).squeeze(-2)


def off_curve(pictures: Tensor) -> Tensor:
    """Root mean squared distance of pictures from the nearest bump, (N,): 0 for a bump."""
    return torch.cdist(pictures, bumps(torch.linspace(0.1, 0.9, 1601))).amin(1) / math.sqrt(PIXELS)


autoencoder, vae = trained(None), trained(1.0)

# %% [markdown]
r"""
## Two latent spaces

Both reconstruct, the VAE a little worse, for its noise. But the autoencoder's codes lie where training left them, on a scale
of their own, and nothing says what lies beside them: draws of a distribution fitted to them, here a Gaussian, often decode
to what is no bump. The VAE's codes lie on the scale of the prior, the guide is wide where the decoder does not mind, and the
decoder has seen the surroundings of each code. Draws of the prior decode to bumps more often; they still do not where the
curve leaves a hole in the plane, for one hidden number does not fill two dimensions.
"""

# %%
torch.manual_seed(0)
spaces = {}
drawn = {}
for name, pair in (("autoencoder", autoencoder), ("VAE", vae)):
    mean, scale = codes(pair)
    fitted = torch.distributions.MultivariateNormal(mean.mean(0), mean.T.cov())
    z = fitted.sample((1000,)) if name == "autoencoder" else torch.randn(1000, 2)
    drawn[name] = decoded(pair, z)
    error = pv.reconstruction_error(pair, x)
    spaces[name] = {
        "rmse": float((error.squared.mean() / PIXELS).sqrt()),
        "rmse_of_draws_from_a_bump": float(off_curve(drawn[name]).square().mean().sqrt()),
        "sd_of_means": mean.std(0).tolist(),
        "mean_scale": scale.mean(0).tolist(),
    }
example.tell(**spaces)

figure, axes = panels(10.4, 3.0, 4)
for axis, (name, pair) in zip(axes, (("autoencoder", autoencoder), ("VAE", vae)), strict=False):
    mean, scale = codes(pair)
    drawing = axis.scatter(*mean.T, c=t, s=6, lw=0, cmap="viridis", zorder=2)
    if name == "VAE":
        axis.errorbar(*mean[::20].T, *reversed(scale[::20].T), fmt="none", ecolor=GREY, lw=0.6)
    axis.set(xlabel="z[0]", ylabel="z[1]", title=f"{name}: codes")
figure.colorbar(drawing, ax=axes[1], label="t")
for axis, name in zip(axes[2:], drawn, strict=True):
    for i, picture in enumerate(drawn[name][:14]):
        axis.plot(torch.linspace(0, 1, PIXELS), picture + 0.75 * i, color=BLUE, lw=1)
    source = "a Gaussian fitted to the codes" if name == "autoencoder" else "the prior"
    axis.set(xlabel="pixel", title=f"{name}: z from\n{source}", yticks=[])
for axis in axes:
    axis.title.set_size(9)
example.show(figure, "bump-latent-space")

# %% [markdown]
r"""
## The weight of the KL

At beta -> 0 noise costs nothing to remove: sigma -> 0, the means spread, and the VAE is the plain autoencoder. As beta grows
each nat must pay for itself by a smaller squared error, q widens towards the prior, and the reconstructions blur. In the end
none pays: sigma = 1, m = 0 whatever x, and g(z) is the mean picture. That is posterior collapse.
"""

# %%
betas = example.choose((1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0, 30.0, 100.0, 300.0), (1e-3, 1.0, 1000.0))
sweep: dict[str, list[float]] = {name: [] for name in ("kl", "rmse", "smallest_scale", "largest_sd", "active")}
moments = {}
for beta in betas:
    pair = vae if beta == 1.0 else trained(beta)
    mean, scale = moments[beta] = codes(pair)
    evaluation = pv.evaluate(pair, x, num_samples=1)
    sweep["kl"].append(evaluation.kl["z"].total)
    sweep["active"].append(int(evaluation.active_units["z"].sum()))
    sweep["rmse"].append(float((pv.reconstruction_error(pair, x).squared.mean() / PIXELS).sqrt()))
    sweep["smallest_scale"].append(float(scale.mean(0).min()))
    sweep["largest_sd"].append(float(mean.std(0).max()))
example.tell(betas=betas, **sweep, rmse_of_the_mean_picture=float((x - x.mean(0)).square().mean().sqrt()))

# %%
figure, axes = panels(10.4, 4.8, 4, 2)
for column, beta in enumerate((betas[0], 1.0, betas[-1])):
    mean, scale = moments[beta]
    for i, color in enumerate((BLUE, ORANGE)):
        wide = {"color": color, "alpha": 0.7, "label": f"z[{i}]", "bins": 40}
        axes[column].hist(mean[:, i], range=(-3, 3) if beta >= 1 else None, **wide)
        axes[4 + column].hist(scale[:, i], range=(0, 1.2) if beta >= 1 else None, **wide)
    axes[column].set(xlabel="posterior mean")
    axes[column].set_title(f"beta = {beta:g}", fontsize=10)
    axes[4 + column].set(xlabel="posterior scale")
axes[0].set_ylabel("number of x")
axes[4].set_ylabel("number of x")
axes[0].legend(frameon=False, fontsize=8)
axes[3].semilogx(betas, sweep["kl"], marker="o", ms=3, color=BLUE, label="KL (nats per datum)")
axes[3].legend(frameon=False, fontsize=8)
axes[3].set(xlabel="beta")
axes[7].semilogx(betas, sweep["rmse"], marker="o", ms=3, color=BLUE, label="reconstruction rmse")
axes[7].semilogx(betas, sweep["smallest_scale"], marker="o", ms=3, color=ORANGE, label="scale of the tighter z")
axes[7].axhline(spaces["autoencoder"]["rmse"], color=GREY, lw=1, ls="--", label="rmse of the autoencoder")
axes[7].legend(frameon=False, fontsize=8)
axes[7].set(xlabel="beta")
example.show(figure, "bump-kl-weight")

# %% [markdown]
r"""
## An input made to deceive

How far can a small change of x move the reconstruction? Gradient ascent on |g(f(x + d)) - g(f(x))| over changes d of a given
norm, against random changes of the same norm (a bump's own norm is about 1.9). No training picture holds such a d, so nothing
in the squared error forbids any answer. Nor does the ELBO: the VAE's noise is in z, not in x, and its reconstruction is moved
as far. But where it is moved to differs: |x'' - nearest bump| says whether the answer is a bump, at a wrong place, or none.
What helps against the change itself is to train on changed inputs: `dae`, here with Gaussian noise of 0.1 on each pixel.
"""


# %%
def reconstruction(pair: pv.Pair, x: Tensor) -> Tensor:
    """g(m(x)), (N, PIXELS), differentiable in x."""
    encoder = getattr(pair.guide, "guide", pair.guide).encoder  # that of a denoising guide is inside it
    return pair.model.decoder(encoder(x)[..., :2]).squeeze(-2)


def attacked(pair: pv.Pair, x: Tensor, norm: float) -> Tensor:
    """Changes d of x, |d| = norm, that move the reconstruction far: the best of 100 steps of ascent along the gradient."""
    before = reconstruction(pair, x).detach()
    change = torch.randn_like(x)
    for _ in range(example.choose(100, 30)):
        change = (norm * torch.nn.functional.normalize(change, dim=1)).requires_grad_()
        moved = (reconstruction(pair, x + change) - before).square().sum()
        (gradient,) = torch.autograd.grad(moved, change)
        change = (change + 0.2 * norm * torch.nn.functional.normalize(gradient, dim=1)).detach()
    return norm * torch.nn.functional.normalize(change, dim=1)


noisy = pv.data.corrupt(data, process="gaussian", scale=0.1)
torch.manual_seed(2)
denoiser = pv.pairs.dae(noisy.spec, **networks)
pv.fit(denoiser, noisy, "energy", **settings)
three = {"autoencoder": autoencoder, "VAE": vae, "denoising autoencoder": denoiser}

torch.manual_seed(0)
norms = (0.1, 0.2, 0.4, 0.8)
victims = x[10::20]
moved: dict[str, list[float]] = {}
changes, off = {}, {}
for name, pair in three.items():
    before = reconstruction(pair, victims).detach()
    for norm in norms:
        changes[name, norm] = attacked(pair, victims, norm)
        noise = norm * torch.nn.functional.normalize(torch.randn_like(victims), dim=1)
        for kind, change in (("made", changes[name, norm]), ("random", noise)):
            after = reconstruction(pair, victims + change).detach()
            moved.setdefault(f"{name}, {kind}", []).append(float((after - before).norm(dim=1).median()))
            if kind == "made":
                off.setdefault(name, []).append(float(off_curve(after).median()))
example.tell(norms=norms, moved=moved, rmse_from_a_bump=off)

figure, axes = panels(11.0, 3.0, 4, width_ratios=(1, 1, 1, 1.2))
place, colors = torch.linspace(0, 1, PIXELS), (BLUE, ORANGE, GREEN)
for axis, (name, pair) in zip(axes, three.items(), strict=False):
    change = changes[name, 0.4]
    after = reconstruction(pair, victims + change).detach()
    far = (after - reconstruction(pair, victims).detach()).norm(dim=1)
    row = int(far.argsort()[len(far) // 2])  # the median victim
    axis.plot(place, victims[row], color=GREY, lw=3, label="x")
    axis.plot(place, (victims + change)[row], color=ORANGE, lw=1, label="x + d, |d| = 0.4")
    axis.plot(place, after[row], color=BLUE, lw=1.5, label="its reconstruction")
    axis.set(xlabel="pixel", title=f"{name}: the median case", ylim=(-0.4, 1.7))
for name, color in zip(three, colors, strict=True):
    for kind, style in (("made", "-"), ("random", ":")):
        label = name if kind == "made" else None
        axes[3].plot(norms, moved[f"{name}, {kind}"], style, marker="o", ms=3, color=color, label=label)
axes[3].set(xlabel="|d|", title="how far it moves; dotted: random d", ylabel="|x'' - x'|, median", ylim=(0, 3.9))
for axis in axes:
    axis.title.set_size(8)
    axis.legend(frameon=False, fontsize=7, loc="upper left")
example.show(figure, "bump-adversarial")
