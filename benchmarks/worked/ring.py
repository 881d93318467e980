# %% [markdown]
r"""
# A ring: how an encoder makes p(x) computable

    python -m benchmarks run ring --budget cpu

Two Gaussian numbers z, sent through g(z) = z/2 + z/|z|, lie on a fuzzy ring (Doersch, Tutorial on Variational Autoencoders,
2016, Fig. 2, has it with z/10):

$$p(x) = \int p(z)\, p(x \mid z)\, dz, \qquad p(z) = N(z; 0, I_2), \quad p(x \mid z) = N(x; g(z), \sigma^2 I_2).$$

The integral is what training by maximum likelihood needs. Three ways to it follow: draws of the prior, draws of an encoder,
and, since this model is so simple, quadrature, which tells how good the other two are.
"""

# %%
from __future__ import annotations

import math

import pyro
import pyro.distributions as dist
import torch
from matplotlib.colors import hsv_to_rgb
from scipy.special import i0e
from torch import Tensor, nn

import pyrovae as pv
from benchmarks.worked.example import BLUE, GREEN, GREY, ORANGE, Example, panels
from pyrovae.nets.mlp import MLP

example = Example()
torch.manual_seed(0)


# %% [markdown]
r"""
## The pair

The model is the generative story; the encoder guesses, for one x, the Gaussian region of z that x came from,

$$q(z \mid x) = N(z; m(x), \alpha^2 L(x) L(x)^T),$$

with a network for m and the triangular L. alpha is 1 but for the experiment with it below. The prior is a guide too, one that
does not look at x.
"""


# %%
class Model(nn.Module):
    """p(x, z) = N(z; 0, I) N(x; z/2 + z/|z|, sigma^2 I)."""

    def __init__(self, sigma: float) -> None:
        super().__init__()
        self.sigma = sigma

    def forward(self, x: Tensor) -> None:
        with pyro.plate("data", x.shape[0], dim=-1):
            z = pyro.sample("z", dist.Normal(x.new_zeros(2), 1.0).to_event(1))
            loc = z / 2 + z / z.norm(dim=-1, keepdim=True)
            pyro.sample("x", dist.Normal(loc, self.sigma).to_event(1), obs=x)


class Encoder(nn.Module):
    """q(z | x) = N(z; m(x), alpha^2 L(x) L(x)')."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.alpha = MLP(2, [64, 64], 5), 1.0

    def forward(self, x: Tensor) -> None:
        loc, log_scale, below = self.net(x).split([2, 2, 1], -1)
        tril = torch.diag_embed(log_scale.exp()) + below.unsqueeze(-1) * x.new_tensor([[0.0, 0.0], [1.0, 0.0]])
        with pyro.plate("data", x.shape[0], dim=-1):
            pyro.sample("z", dist.MultivariateNormal(loc, scale_tril=self.alpha * tril))


def prior(x: Tensor) -> None:
    """q(z | x) = p(z)."""
    with pyro.plate("data", x.shape[0], dim=-1):
        pyro.sample("z", dist.Normal(x.new_zeros(2), 1.0).to_event(1))


def data(sigma: float, num: int) -> Tensor:
    """num draws of p(x), (num, 2)."""
    return pv.sample((Model(sigma), prior), num, like={"x": torch.zeros(1, 2)})["x"]


# %% [markdown]
r"""
## Quadrature

With R = 1 + r/2, r = |z|, the angle of z integrates to a Bessel function, and one integral is left:

$$p(x) = \int_0^\infty r e^{-r^2/2}\; \frac{1}{2\pi\sigma^2} e^{-(|x|^2 + R^2)/2\sigma^2}\,
I_0\!\left(\frac{|x| R}{\sigma^2}\right) dr.$$

The trapezoidal rule in log r does it. Its check: p integrates to one over the plane.
"""


# %%
def log_p(x: Tensor, sigma: float) -> Tensor:
    """log p(x), (N,), by quadrature."""
    s = torch.linspace(math.log(1e-6), math.log(12.0), 4001, dtype=torch.float64)
    r, radius = s.exp(), x.double().norm(dim=1, keepdim=True)
    outer = 1 + r / 2
    bessel = torch.as_tensor(i0e((radius * outer / sigma**2).numpy())).log()
    log_f = 2 * s - r.square() / 2 + bessel - (radius - outer).square() / (2 * sigma**2)
    return log_f.logsumexp(1) + (s[1] - s[0]).log() - math.log(2 * math.pi * sigma**2)


def mass(sigma: float) -> float:
    """The integral of p(x) over the plane."""
    radius = torch.linspace(1e-6, 6.0, 6001, dtype=torch.float64)
    density = log_p(torch.stack([radius, torch.zeros_like(radius)], 1), sigma).exp()
    return float(torch.trapezoid(2 * math.pi * radius * density, radius))


SIGMA = example.choose(0.1, 0.3)
example.tell(mass=mass(SIGMA))

# %% [markdown]
r"""
## Draws of the prior, draws of the encoder

Any density r(z) that covers the posterior gives an unbiased estimate, whose logarithm is a lower bound in expectation:

$$p(x) = E_{z \sim r}\left[\frac{p(x, z)}{r(z)}\right] \approx \frac{1}{K} \sum_k \frac{p(x, z_k)}{r(z_k)}.$$

With r = p(z) most draws miss: only about sigma^2 of the prior's mass explains a given x. The variance is least, zero, at
r(z) = p(z | x). So an encoder is trained to be near that, by the bound that falls short of log p(x) by exactly the distance:

$$L = E_q\left[\log \frac{p(x, z)}{q(z \mid x)}\right] = \log p(x) - KL(q(z \mid x)\, \|\, p(z \mid x)).$$
"""


# %%
def trained(sigma: float) -> Encoder:
    """The encoder of the model with this sigma, trained on draws of it."""
    torch.manual_seed(1)
    encoder, steps = Encoder(), example.choose(3000, 150)
    falling = {"scheduler": "CosineAnnealingLR", "scheduler_options": {"T_max": steps}, "scheduler_interval": "step"}
    quiet = {"validate": False, "progress": False, "compile": False}
    objective = {"name": "elbo", "num_particles": 4}
    pv.fit(
        (Model(sigma), encoder),
        data(sigma, 20_000),
        objective,
        steps=steps,
        lr=example.choose(5e-3, 1e-2),
        batch_size=250,
        **falling,
        **quiet,
    )
    return encoder


def compare(model: Model, guide: object, x: Tensor, num_samples: int) -> dict[str, float]:
    """How far importance sampling with a guide is from quadrature, over data x."""
    evidence, exact = pv.log_evidence((model, guide), x, num_samples=num_samples, compile=False), log_p(x, model.sigma)
    error = evidence.value.double() - exact
    ratio = error.exp()  # of the estimate of p(x) to p(x): one in expectation
    return {
        "mean": evidence.mean,
        "exact": float(exact.mean()),
        "ratio": float(ratio.mean()),
        "ratio_error": float((ratio * evidence.stderr).square().sum().sqrt() / len(x)),
        "rms_error": float(error.square().mean().sqrt()),
        "median_error": float(error.abs().median()),
        "heavy_tails": float((evidence.khat > 0.7).double().mean()),
        "median_ess": float(evidence.ess.median()),
        "elbo": float(evidence.elbo.mean()),
    }


model, encoder = Model(SIGMA), trained(SIGMA)
x = data(SIGMA, example.choose(1000, 50))
for num in (100, 1000, 10_000):
    example.tell(**{f"prior, {num}": compare(model, prior, x, num)})
for num in (100, 1000):
    example.tell(**{f"encoder, {num}": compare(model, encoder, x, num)})

# %% [markdown]
r"""
The picture: p(x) over the plane, each x with draws of its own. A hundred draws of the encoder give what quadrature gives,
outside the hole. Inside, the posterior bends around the origin, which no Gaussian does: there the largest weights decide, and
k-hat says so.
"""

# %%
side = example.choose(60, 8)
line = (torch.arange(side) + 0.5) * 6 / side - 3
plane = torch.cartesian_prod(line, line)
estimates = {f"prior, K = {num:,}": (prior, num) for num in (100, 1000, 10_000)} | {"encoder, K = 100": (encoder, 100)}
pictures = {
    name: pv.log_evidence((model, guide), plane, num_samples=num, compile=False).value.exp()
    for name, (guide, num) in estimates.items()
}
pictures["quadrature"] = log_p(plane, SIGMA).exp()

figure, axes = panels(7.4, 4.9, 3, 2)
z = torch.randn(1000, 2)
points = z / 2 + z / z.norm(dim=1, keepdim=True)
hue = (torch.atan2(z[:, 1], z[:, 0]) / (2 * math.pi)) % 1
colors = hsv_to_rgb(torch.stack([hue, torch.full_like(hue, 0.75), torch.full_like(hue, 0.8)], 1).numpy())
axes[0].scatter(*z.T, c=GREY, s=2, lw=0)
axes[0].scatter(*points.T, c=colors, s=2, lw=0)
axes[0].set(xlim=(-3, 3), ylim=(-3, 3), aspect="equal")
axes[0].set_title("z (grey), g(z) (hue: angle of z)", fontsize=9)
for one, (name, picture) in zip(axes[1:], pictures.items(), strict=True):
    top = float(pictures["quadrature"].max())
    image = one.imshow(
        picture.reshape(side, side).T.numpy(), origin="lower", extent=(-3, 3, -3, 3), vmin=0, vmax=top, cmap="magma"
    )
    one.set_title(name, fontsize=9)
figure.colorbar(image, ax=axes, label="p(x)", shrink=0.6, extend="max")
example.show(figure, "ring-density")

# %% [markdown]
r"""
## L(alpha): too narrow, right, too wide

Scale the encoder's regions by alpha. As alpha -> 0 the guide becomes a point, the deterministic encoder of an autoencoder, and
L falls like 2 log alpha: a point has no entropy, and its weight p(x, z)/q(z|x) says nothing. A guide that is too wide wastes
draws on z that do not explain x, and L falls like -alpha^2. More draws repair a wide guide soon, a narrow one never quite.
"""

# %%
alphas = torch.logspace(-1.3, 1.0, example.choose(24, 8)).tolist()
curves: dict[int, list[float]] = {num: [] for num in (1, 10, 100)}
for encoder.alpha in alphas:
    for num, curve in curves.items():
        draws = 200 if num == 1 else num  # the mean log weight estimates L however many there are
        found = pv.log_evidence((model, encoder), x, num_samples=draws, compile=False)
        curve.append(float(found.elbo.mean()) if num == 1 else found.mean)
encoder.alpha = 1.0
exact = float(log_p(x, SIGMA).mean())
example.tell(
    alphas=alphas, elbo=curves[1], bound_100=curves[100], log_p=exact, best_alpha=alphas[curves[1].index(max(curves[1]))]
)

figure, (left, right) = panels(8.4, 3.3, 2)
left.axhline(exact, color=GREY, lw=3, label="log p(x), quadrature")
for (num, curve), color in zip(curves.items(), (BLUE, ORANGE, GREEN), strict=True):
    left.semilogx(alphas, curve, color=color, label="L, the ELBO" if num == 1 else f"$L_{{{num}}}$")
left.set(xlabel="alpha, the factor on the encoder's scale", ylabel="nats per datum", ylim=(exact - 6, exact + 0.6))
left.legend(frameon=False, fontsize=8, loc="lower center")

# %% [markdown]
r"""
## What sigma does

The smaller sigma is, the less of the prior explains an x: K must grow like 1/sigma^2. The encoder's regions shrink with sigma,
and 100 draws do at every sigma. The Jacobian of g is 1/2 along the radius and 1/2 + 1/r along the circle, so that the regions
are about 2 sigma by sigma/(1/2 + 1/r): as sigma -> 0 the encoder becomes the inverse of g, a point.
"""

# %%
sigmas = example.choose((0.5, 0.2, 0.1, 0.05, 0.02), (0.5, 0.3))
rows: dict[str, list[float]] = {"prior, K = 100": [], "prior, K = 10,000": [], "encoder, K = 100": []}
gaps = []
for sigma in sigmas:
    guide = encoder if sigma == SIGMA else trained(sigma)
    x = data(sigma, example.choose(500, 50))
    for name, curve in rows.items():
        proposal, num = (prior if name.startswith("prior") else guide), int(name.split()[-1].replace(",", ""))
        found = compare(Model(sigma), proposal, x, num)
        curve.append(found["median_error"])
    gaps.append(found["exact"] - found["elbo"])
example.tell(sigmas=sigmas, median_error=rows, elbo_gap=gaps)

for (name, curve), color, style in zip(rows.items(), (ORANGE, ORANGE, BLUE), ("--", "-", "-"), strict=True):
    right.loglog(sigmas, curve, style, marker="o", ms=3, color=color, label=name)
right.set(xlabel="sigma", ylabel="median error of log p(x) (nats)")
right.set_xticks(sigmas, [str(sigma) for sigma in sigmas])
right.minorticks_off()
right.legend(frameon=False, fontsize=8)
example.show(figure, "ring-bounds")
