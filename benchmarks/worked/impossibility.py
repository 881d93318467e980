# %% [markdown]
r"""
# Disentanglement cannot be learned from p(x) alone, and why VAEs seem to learn it

    python -m benchmarks run impossibility --budget cpu

Take any model with an independent prior, $z \sim N(0, I)$, and let the decoder read $R^T z$ in place of z, R orthogonal.
$R^T z$ is N(0, I) too, so the rotated model has the same p(x), to the last digit, for all data there are. If each code of the
first told one factor, each code of the second tells a mixture. No look at p(x), however many data, says which of them is the
disentangled one (Locatello et al., Challenging Common Assumptions in the Unsupervised Learning of Disentangled
Representations, 2019, Theorem 1; a prior with other marginals is first made normal by its distribution functions).

The ELBO does see the difference. The posterior of the rotated model is the rotated posterior, of covariance
$R \Sigma R^T$, and a guide with a diagonal covariance cannot follow it: it loses at least

$$\tfrac12 E_x\Big[\sum_j \log \big((R \Sigma R^T)^{-1}\big)_{jj} + \log\det \Sigma\Big] \ge 0,$$

the KL of the best diagonal Gaussian. That is 0 where $\Sigma$ is isotropic in the dimensions that R mixes, and 0 for any R
with a guide of full covariance. So the axes that a VAE ends with come from its guide, not from its prior or its likelihood.
"""

# %%
from __future__ import annotations

import math
from itertools import product

import pyro
import pyro.distributions as dist
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

import pyrovae as pv
from benchmarks.worked.example import Example, panels
from pyrovae.evaluation.disentanglement import mig_binned
from pyrovae.evaluation.latents import posterior_moments

example = Example()
torch.manual_seed(0)


# %% [markdown]
r"""
## Where all is known: a linear model

x = W z + noise of variance 1/16 with orthogonal columns of W, of lengths 3 and 1, so that the posterior's covariance is
diagonal and the two codes have different precisions. The same model rotated by 45 degrees, with a guide of diagonal and one of
full covariance, each the best of its family.
"""

# %%
NOISE = 0.25
W = torch.linalg.qr(torch.randn(6, 2))[0] * torch.tensor([3.0, 1.0])
QUARTER = torch.tensor([[1.0, -1.0], [1.0, 1.0]]) / math.sqrt(2)


class Linear(nn.Module):
    """z ~ N(0, I), x | z ~ N(W z, sigma^2 I)."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, x: Tensor) -> None:
        with pyro.plate("data", x.shape[0], dim=-1):
            z = pyro.sample("z", dist.Normal(x.new_zeros(self.weight.shape[1]), 1.0).to_event(1))
            pyro.sample("x", dist.Normal(z @ self.weight.T, NOISE).to_event(1), obs=x)

    def log_evidence(self, x: Tensor) -> Tensor:
        """log p(x), exact."""
        d = len(self.weight)
        return dist.MultivariateNormal(torch.zeros(d), self.weight @ self.weight.T + NOISE**2 * torch.eye(d)).log_prob(x)


class Best(nn.Module):
    """The Gaussian next to the posterior: itself, or with the diagonal of its precision."""

    def __init__(self, weight: Tensor, full: bool) -> None:
        super().__init__()
        precision = torch.eye(weight.shape[1]) + weight.T @ weight / NOISE**2
        self.mean = torch.linalg.solve(precision, weight.T) / NOISE**2
        self.covariance = torch.linalg.inv(precision if full else precision.diagonal().diag())

    def forward(self, x: Tensor) -> None:
        with pyro.plate("data", x.shape[0], dim=-1):
            pyro.sample("z", dist.MultivariateNormal(x @ self.mean.T, self.covariance))


def loss_of_diagonal(covariance: Tensor) -> Tensor:
    """KL of the best Gaussian with independent dimensions, (*batch,), in nats."""
    return (torch.linalg.inv(covariance).diagonal(dim1=-2, dim2=-1).log().sum(-1) + torch.logdet(covariance)) / 2


sides = torch.linspace(-1.7, 1.7, 20)
factors = torch.tensor(list(product(range(20), repeat=2)))
x = sides[factors] @ W.T + NOISE * torch.randn(len(factors), 6)
linear = {}
for name, rotation in {"as it is": torch.eye(2), "rotated": QUARTER}.items():
    weight = W @ rotation.T
    found = {"log_p": pv.log_evidence((Linear(weight), Best(weight, True)), x, "exact").mean}
    for family in ("diagonal", "full"):
        guide = Best(weight, family == "full")
        estimate = pv.log_evidence((Linear(weight), guide), x, num_samples=example.choose(1000, 100))
        found[f"loss, {family}"] = found["log_p"] - float(estimate.elbo.mean())
        found[f"error, {family}"] = float(estimate.elbo_stderr.square().sum().sqrt()) / len(x)
    posterior = Best(weight, True)
    found["loss by the formula"] = float(loss_of_diagonal(posterior.covariance))
    codes = x @ posterior.mean.T
    found["mig"] = mig_binned(codes.numpy(), {"a": factors[:, 0].numpy(), "b": factors[:, 1].numpy()}).value
    linear[name] = found
example.tell(linear=linear)

# %% [markdown]
r"""
## A trained VAE

Sprites of three factors, scale and two places, with capacity (`annealed-vae`), which gives codes that tell them apart. Then
the same networks, the decoder behind a random rotation of all six codes. Its log p(x) is estimated with the guide that is
rotated too, of full covariance. A diagonal guide in its place is the best one: the same means, rotated, and the variances of
the formula.
"""

# %%
data = pv.data.load("xys-uneven")
sizes = {"latent_dim": 6, "hidden": example.choose([256, 256], [32]), "activation": "relu"}
pair = pv.pairs.annealed_vae(data.spec, **sizes, capacity=8.0, gamma=30.0)
epochs = example.choose(330, 2)
quiet = {"validate": False, "progress": False, "compile": example.choose(None, False)}
pv.fit(pair, data, epochs=epochs, kl_warmup=round(0.8 * epochs), lr=1e-3, batch_size=128, **quiet)
turned = torch.linalg.qr(torch.randn(6, 6))[0]


class Rotation(nn.Module):
    """z -> R' z."""

    def forward(self, z: Tensor) -> Tensor:
        return z @ turned


class Rotated(nn.Module):
    """The guide's Gaussian, rotated: with its covariance, or with the best diagonal one."""

    def __init__(self, full: bool) -> None:
        super().__init__()
        self.encoder, self.full = pair.guide.encoder, full

    def gaussian(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and covariance."""
        loc, log_scale = self.encoder(x).chunk(2, -1)
        return loc @ turned.T, turned @ torch.diag_embed((2 * log_scale).exp()) @ turned.T

    def forward(self, x: Tensor) -> None:
        mean, covariance = self.gaussian(x)
        if not self.full:
            covariance = torch.diag_embed(1 / torch.linalg.inv(covariance).diagonal(dim1=-2, dim2=-1))
        with pyro.plate("data", x.shape[0], dim=-1):
            pyro.sample("z", dist.MultivariateNormal(mean, covariance))


model = pv.models.VAE(nn.Sequential(Rotation(), pair.model.decoder), pair.model.likelihood, 6)
few = data.test[: example.choose(150, 40)]
trained = {}
for name, each in {
    "as trained": pair,
    "rotated, full covariance": (model, Rotated(True)),
    "rotated, diagonal": (model, Rotated(False)),
}.items():
    estimate = pv.log_evidence(each, few, num_samples=example.choose(2000, 50), seed=0)
    trained[name] = {"log_p": estimate.mean, "error": estimate.mean_stderr, "elbo": float(estimate.elbo.mean())}
with torch.no_grad():
    trained["loss by the formula"] = float(loss_of_diagonal(Rotated(True).gaussian(few["x"])[1]).mean())
names = ("scale", "posX", "posY")
whole = data.train[:]
known = {name: whole[name].numpy() for name in names}
means = posterior_moments(pair, {"x": whole["x"]})["z"].mean
shown = {"trained": means, "rotated": means @ turned.T}
migs = {name: mig_binned(codes.numpy(), known).value for name, codes in shown.items()}
example.tell(trained=trained, mig=migs)


# %% [markdown]
r"""
## What the two look like

Mutual information of each code and factor as a share of the factor's entropy (20 bins): one dark cell a row where codes are
disentangled, a smear where they are mixed. The perfect code is the factors themselves.
"""


# %%
def information(codes: Tensor) -> Tensor:
    """I(code; factor) / H(factor) by 20 equal bins, (codes, factors)."""
    table = torch.zeros(codes.shape[1], len(names))
    for i, code in enumerate(codes.T):
        bins = ((code - code.min()) / (code.max() - code.min()).clamp(min=1e-9) * 20).long().clamp(max=19)
        for k, name in enumerate(names):
            values = whole[name].long()
            joint = torch.zeros(20, int(values.max()) + 1).index_put_((bins, values), torch.ones(len(bins)), accumulate=True)
            joint /= joint.sum()
            product_ = joint.sum(1, keepdim=True) * joint.sum(0, keepdim=True)
            own = joint.sum(0)
            mutual = torch.special.xlogy(joint, joint / product_.clamp(min=1e-12)).sum()
            table[i, k] = mutual / -torch.special.xlogy(own, own).sum()
    return table


def maps() -> Figure:
    """Heat maps of codes against factors."""
    perfect = torch.stack([whole[name].float() for name in names] + [torch.randn(len(whole["x"])) for _ in range(3)], 1)
    figure, axes = panels(8.4, 3.2, 3)
    for one, (title, codes) in zip(axes, {"perfect": perfect, **shown}.items(), strict=True):
        image = one.imshow(information(codes).numpy(), vmin=0, vmax=1, cmap="Blues", aspect="auto")
        one.set_xticks(range(len(names)), names)
        one.set_yticks(range(6), [f"$z_{i + 1}$" for i in range(6)])
        one.set_title(title if title == "perfect" else f"{title}: MIG {migs[title]:.2f}", fontsize=9)
    figure.colorbar(image, ax=axes, label="I(code; factor) / H(factor)")
    return figure


example.show(maps(), "impossibility-maps")


# %% [markdown]
r"""
One sprite, each code moved from -2 to 2, codes in the order of their KL: as trained, and rotated, where every code moves all.
"""


# %%
def walks() -> Figure:
    """Traversals of the two models, rows by KL."""
    one = {"x": data.test[:1]["x"]}
    order = posterior_moments(pair, {"x": whole["x"]})["z"]
    kl = (order.mean.square() + order.scale**2 - 1 - 2 * order.scale.log()).mean(0) / 2
    best = information(means)
    figure, axes = panels(9.6, 3.4, 2)
    for axis, (title, each) in zip(axes, {"as trained": pair, "rotated": (model, Rotated(True))}.items(), strict=True):
        pictures = pv.traverse(each, one, site="z", values=torch.linspace(-2, 2, 9).tolist())  # (6, 9, 32, 32)
        rows = kl.argsort(descending=True) if title == "as trained" else torch.arange(6)
        sheet = torch.cat([torch.cat(list(pictures[i]), 1) for i in rows])
        axis.imshow(sheet.numpy(), cmap="gray", vmin=0, vmax=1)
        labels = [f"{names[int(best[i].argmax())]}, {kl[i]:.1f} nats" if kl[i] > 0.1 else "unused" for i in rows]
        axis.set_yticks(
            [32 * i + 16 for i in range(6)], labels if title == "as trained" else [f"$z_{i + 1}$" for i in range(6)]
        )
        axis.set_xticks([])
        axis.set_title(title, fontsize=9)
    return figure


example.show(walks(), "impossibility-walks")
