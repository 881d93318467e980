# %% [markdown]
r"""
# VAEs pursue PCA directions (by accident)

    python -m benchmarks run pca-directions --budget cpu

Nothing in the prior N(0, I) tells the axes of a latent space from any rotation of them. The guide does: its diagonal
covariance. Close to a code, the decoder is about linear, $g(z + \epsilon) \approx g(z) + J \epsilon$, and the model about the
linear-Gaussian one, whose posterior has the precision

$$\Sigma^{-1} = I + J^T J / s^2.$$

A diagonal q that minimizes KL(q || p) has $\sigma_j^{-2} = 1 + |J_j|^2/s^2$, the diagonal of it, J_j a column, and loses (the
rest of the KL)

$$\tfrac12 \Big(\sum_j \log \Sigma^{-1}_{jj} - \log\det \Sigma^{-1}\Big) \ge 0,$$

by Hadamard's inequality zero only if $J^T J$ is diagonal: if the columns of J are orthogonal. Then $J = U S P$, P a
permutation with signs, and the latent axes are the principal axes of the linearised decoder (Rolinek, Zietlow and Martius,
Variational Autoencoders Pursue PCA Directions (by Accident), 2019). A guide with a full covariance loses nothing either way,
an autoencoder has no covariance: neither should prefer any axes. That is the experiment.
"""

# %%
from __future__ import annotations

import torch
from scipy.optimize import linear_sum_assignment
from sklearn.decomposition import PCA
from torch import Tensor, nn

import pyrovae as pv
from benchmarks.worked.example import BLUE, GREEN, GREY, ORANGE, Example, panels
from pyrovae.evaluation.latents import active_units, posterior_moments
from pyrovae.evidence.evidence import mean_and_error

example = Example()
torch.manual_seed(0)


# %% [markdown]
r"""
## Measures

With $J = U S V^T$ the columns are orthogonal if V is a permutation with signs. The distance to orthogonality is that to the
nearest one, $\min_P \|V - P\|_F$ (Rolinek et al.), which an assignment problem finds, for $\|V - P\|^2 = 2d - 2\,
\mathrm{tr}\, V^T P$. Beside it the mean |cosine| between two columns, and how well each image J_j of an axis is aligned with
a principal direction of the linearised decoder, a column of U. Chance is J times a random rotation.
"""


# %%
@torch.no_grad()
def jacobians(decode: nn.Module, codes: Tensor) -> Tensor:
    """dg/dz at each code, (N, D, d)."""

    def one(z: Tensor) -> Tensor:
        return decode(z).flatten()

    return torch.func.vmap(torch.func.jacrev(one), chunk_size=25)(codes)


def measures(jacobian: Tensor) -> dict[str, float]:
    """Distance to orthogonality, mean |cosine| of two columns, |cosine| of columns and principal directions; means over N."""
    d = jacobian.shape[-1]
    left, _, right = torch.linalg.svd(jacobian, full_matrices=False)
    distances, aligned = [], []
    images = torch.nn.functional.normalize(jacobian, dim=1)
    for u, v, image in zip(left, right, images, strict=True):
        rows, columns = linear_sum_assignment(-v.abs().numpy())
        distances.append((2 * d - 2 * float(v.abs()[rows, columns].sum())) ** 0.5)
        cosine = (u.T @ image).abs()
        aligned.append(float(cosine[linear_sum_assignment(-cosine.numpy())].mean()))
    cosines = (images.transpose(1, 2) @ images).abs()
    off = ~torch.eye(d, dtype=torch.bool)
    distance, error = mean_and_error(torch.tensor(distances))
    return {
        "distance": distance,
        "distance_error": error,
        "cosine": float(cosines[:, off].mean()),
        "alignment": sum(aligned) / len(aligned),
    }


def rotated(jacobian: Tensor) -> Tensor:
    """The same decoder seen in randomly rotated latent axes, another rotation for each datum."""
    q, r = torch.linalg.qr(torch.randn(len(jacobian), *[jacobian.shape[-1]] * 2))
    return jacobian @ (q * r.diagonal(dim1=1, dim2=2).sign().unsqueeze(1))


# %% [markdown]
r"""
## Where the answer is known: a linear VAE

Without hidden layers the decoder is linear, and its optimum is probabilistic PCA: the columns of W are the principal
directions of the data themselves, not only their span (Lucas et al., Don't Blame the ELBO!, 2019). Data in 20 dimensions:
four directions of variance 16, 6, 2.5, 1, and noise of variance 1/4. With the full-rank guide W spans the same space in axes
of no meaning.
"""

# %%
variances = torch.tensor([16.0, 6.0, 2.5, 1.0])
directions = torch.linalg.qr(torch.randn(20, 4))[0]
cloud = (torch.randn(5000, 4) * variances.sqrt()) @ directions.T + 0.5 * torch.randn(5000, 20)
principal = torch.as_tensor(PCA(4).fit(cloud.numpy()).components_, dtype=torch.float32).T
gaussian = pv.data.as_data(cloud)
linear = {}
for posterior in ("diagonal", "full-rank"):
    torch.manual_seed(0)
    pair = pv.pairs.vae(gaussian.spec, latent_dim=4, hidden=(), likelihood="gaussian", scale=0.5, posterior=posterior)
    epochs = example.choose(200, 60)
    falling = {"scheduler": "CosineAnnealingLR", "scheduler_options": {"T_max": epochs}}
    quiet = {"validate": False, "progress": False, "compile": False}
    objective = {"name": "meanfield", "num_particles": 2}
    pv.fit(pair, gaussian, objective, epochs=epochs, lr=example.choose(3e-3, 1e-2), **falling, **quiet)
    weight = pair.model.decoder.mlp[-1].weight.detach()
    cosine = (principal.T @ torch.nn.functional.normalize(weight, dim=0)).abs()
    rows, columns = linear_sum_assignment(-cosine.numpy())
    linear[posterior] = {
        "axes": cosine[rows, columns].tolist(),  # |cosine| of a latent axis and its principal direction
        "span": torch.linalg.svdvals(principal.T @ torch.linalg.qr(weight)[0]).tolist(),  # of the principal angles of the two
        "cosine": measures(weight.unsqueeze(0))["cosine"],
    }
example.tell(linear=linear)

# %% [markdown]
r"""
## VAEs with hidden layers, a full-rank guide, an autoencoder

The same networks each time, with a Gaussian likelihood, on the 8x8 digits and on 20,000 images of MNIST (`--budget smoke`:
digits only); `ae` has a point as guide and no prior. Jacobians at the codes of test images, in the latent dimensions that
are in use.
"""


# %%
def trained(name: str, num_train: int, latent_dim: int, hidden: int, epochs: int, batch_size: int) -> dict[str, tuple]:
    """The three pairs trained on a data set: each with its Jacobians and scales of q at the codes of test images."""
    whole = pv.data.load(name, binarization="none")
    data = pv.data.as_data((whole.train["x"][:num_train], whole.valid["x"]))
    x = whole.test[torch.randperm(len(whole.test), generator=torch.Generator().manual_seed(0))[:250]]["x"]
    shared = {"latent_dim": latent_dim, "hidden": (hidden,), "likelihood": "gaussian"}
    makers = {
        "VAE": lambda: pv.pairs.vae(data.spec, **shared),
        "full-rank guide": lambda: pv.pairs.vae(data.spec, posterior="full-rank", **shared),
        "autoencoder": lambda: pv.pairs.ae(data.spec, scale=0.2, **shared),
    }
    kept = {}
    for which, make in makers.items():
        torch.manual_seed(0)
        pair, objective = make(), "energy" if which == "autoencoder" else "meanfield"
        settings = {"epochs": epochs, "batch_size": batch_size, "lr": example.choose(2e-3, 5e-3), "compile": name == "mnist"}
        pv.fit(pair, data, objective, validate=False, progress=False, **settings)
        moments = posterior_moments(pair, x)["z"]
        used = active_units(moments.mean)
        kept[which] = pair, jacobians(pair.model.decoder, moments.mean)[:, :, used], moments.scale[:, used]
    return kept


kept = {"digits": trained("digits", 1297, 6, 64, example.choose(200, 25), example.choose(50, 100))}
if not example.smoke:
    kept["mnist"] = trained("mnist", 20000, 10, 200, 50, 100)
found = {
    data: {
        name: {"active": jacobian.shape[-1], **measures(jacobian), "rotated": measures(rotated(jacobian))}
        for name, (_, jacobian, _) in pairs.items()
    }
    for data, pairs in kept.items()
}
example.tell(**found)

# %% [markdown]
r"""
## The encoder's scales, predicted from the decoder

The formula above, $\sigma_j^{-2} = 1 + |J_j|^2/s^2$, for each digit and each dimension in use, with the model's learned s; and
the cosines between the columns of J, averaged over digits.
"""

# %%
pair, jacobian, scale = kept["digits"]["VAE"]
s = float(pair.model.likelihood(torch.zeros(1, 8, 8)).base_dist.scale.detach().flatten()[0])
predicted = (1 + jacobian.square().sum(1) / s**2).rsqrt()
logs = torch.stack([predicted.log().flatten(), scale.log().flatten()])
example.tell(s=s, correlation=float(torch.corrcoef(logs)[0, 1]), ratio=float((logs[1] - logs[0]).mean().exp()))

figure, axes = panels(11.0, 3.0, 4, width_ratios=(1.6, 1, 1, 1.1))
labels = []
for data, results in found.items():
    for (name, result), color in zip(results.items(), (BLUE, ORANGE, GREEN), strict=True):
        place = len(labels)
        chance = result["rotated"]
        style = {"fmt": "o", "ms": 4, "capsize": 2}
        axes[0].errorbar(place - 0.1, result["distance"], 2 * result["distance_error"], color=color, **style)
        label = None if place else "axes rotated at random"
        axes[0].errorbar(place + 0.1, chance["distance"], 2 * chance["distance_error"], color=GREY, label=label, **style)
        labels.append(f"{name}, {data}".replace("full-rank guide", "full rank").replace("autoencoder", "AE"))
axes[0].set_xticks(range(len(labels)), labels, fontsize=7, rotation=25, ha="right")
axes[0].set(ylabel="distance to orthogonality")
axes[0].legend(frameon=False, fontsize=7, loc="lower right")
for axis, name in zip(axes[1:3], ("VAE", "full-rank guide"), strict=True):
    images = torch.nn.functional.normalize(kept["digits"][name][1], dim=1)
    picture = axis.imshow((images.transpose(1, 2) @ images).abs().mean(0).numpy(), vmin=0, vmax=1, cmap="magma")
    axis.set(xlabel="latent dimension", title=f"{name}: |cos| of $J_i$, $J_j$")
    axis.title.set_size(8)
figure.colorbar(picture, ax=axes[1:3], shrink=0.7)
axes[3].loglog(predicted.flatten(), scale.flatten(), ".", ms=1.5, color=BLUE, alpha=0.4)
ends = [float(predicted.min()), float(predicted.max())]
axes[3].plot(ends, ends, color=GREY, lw=1)
axes[3].set(xlabel="$(1 + |J_j|^2/s^2)^{-1/2}$ (decoder)", ylabel="scale of q (encoder)")
axes[3].set_title("digits, VAE", fontsize=8)
example.show(figure, "pca-directions")
