# %% [markdown]
r"""
# Frey faces: a manifold of two dimensions

    python -m benchmarks run frey-faces --budget cpu

1,965 frames of one face, 28 x 20 grey pixels, in 560 dimensions; but a face has few ways to move. A VAE with two latent
numbers,

$$z \sim N(0, I_2), \qquad x \mid z \sim N(g(z), s^2 I_{560}),$$

finds a surface g(z) near which the frames lie, and, unlike an autoencoder, lays them out on it as the prior says: the points
$z = (F^{-1}(u), F^{-1}(v))$, F the normal cdf and u, v evenly spaced, show it in the proportions in which it is used
(Kingma and Welling, Auto-Encoding Variational Bayes, 2014, Fig. 4a).
"""

# %%
from __future__ import annotations

import copy
import dataclasses

import torch
from sklearn.decomposition import PCA

import pyrovae as pv
from benchmarks.worked.example import BLUE, Example, mosaic, panels
from pyrovae.evaluation.latents import posterior_moments

example = Example()
torch.manual_seed(0)

# %% [markdown]
r"""
## Training

The scale s is learned: it settles at the size of what two numbers cannot say. Small as it is, the squared error weighs much
and the KL little, and the codes spread far beyond the prior before the decoder has learnt to bend. From there the pair is
trained on in two ways: as before, and with beta = 8 on the KL, which draws the codes in. Compared are the ELBO and log p(x),
without any beta. Where k-hat is above 0.7 for many frames, importance sampling is still too low, and annealing (`ais`) says
by how much. (`--budget smoke` takes the 8x8 digits, without binarization.)
"""

# %%
data = pv.data.load(example.choose("frey-faces", "digits"), binarization="none")
if example.smoke:
    data = dataclasses.replace(data, test=data.test.subset(torch.arange(80)))
chains = {"num_chains": 8, "num_distributions": example.choose(200, 25)}
circle = torch.linspace(0, 6.29, 60)
ring = torch.stack([circle.cos(), circle.sin()], 1)


def describe(pair: pv.Pair) -> dict[str, object]:
    """What the pair is worth on unseen frames."""
    evaluation = pv.evaluate(pair, data.test, num_samples=example.choose(1000, 200))
    ais = pv.log_evidence(pair, data.test, method="ais", **chains)
    figures, means = evaluation.to_json(), posterior_moments(pair, data.test)["z"].mean
    return {
        "scale": float(pair.model.likelihood.log_scale.detach().exp()),
        "elbo": evaluation.elbo,
        "importance": (figures["log_evidence"], figures["log_evidence_mc_stderr"]),
        "ais": (ais.mean, ais.mean_mc_stderr, ais.mean_stderr),
        "heavy_tails": figures["heavy_tails"] / figures["num_data"],
        "kl": figures["kl"]["z"],
        "sd_of_codes": means.std(0).tolist(),
        "squared_error": pv.reconstruction_error(pair, data.test).to_json()["squared_error"],
    }


pair = pv.pairs.vae(data.spec, latent_dim=2, likelihood="gaussian", hidden=example.choose((200, 200), (50,)))
quiet = {"progress": False, "compile": False, "validate": False}
epochs = example.choose(400, 12)
pv.fit(pair, data, "meanfield", epochs=epochs, **quiet)
longer, drawn_in = copy.deepcopy(pair), copy.deepcopy(pair)
pv.fit(longer, data, "meanfield", epochs=epochs, seed=1, **quiet)
pv.fit(drawn_in, data, "meanfield:beta=8", epochs=epochs, seed=1, **quiet)
pairs = {"ELBO": pair, "ELBO, longer": longer, "beta = 8": drawn_in}
example.tell(**{name: describe(one) for name, one in pairs.items()})

# %% [markdown]
r"""
What two numbers can say by planes, and by a curved surface: PCA's squared error of unseen frames, to hold against those above,
whose codes are drawn from q(z | x), with noise.
"""

# %%
train, test = data.train["x"].flatten(1), data.test["x"].flatten(1)
plane = PCA(2, svd_solver="full").fit(train.numpy())
again = torch.as_tensor(plane.inverse_transform(plane.transform(test.numpy())))
example.tell(pca_error=float((test - again).square().sum(1).mean()))

# %% [markdown]
r"""
## Codes and manifold

Each ellipse is the q(z | x) of an unseen frame, two scales wide; the circle is the prior, two scales wide. The manifold is
drawn over prior quantiles from 1/24 to 23/24, within the circle: of the first model it shows what only some of the frames
use.
"""

# %%
figure, axes = panels(8.6, 7.4, 2, 2, width_ratios=(1, 1.2))
for axis, picture, name in zip(axes[::2], axes[1::2], ("ELBO, longer", "beta = 8"), strict=True):
    codes = posterior_moments(pairs[name], data.test)["z"]
    for mean, scale in zip(*codes, strict=True):
        axis.plot(*(mean + 2 * scale * ring).T, color=BLUE, lw=0.5, alpha=0.7)
    axis.plot(*(2 * ring).T, color="black", lw=1, ls="--")
    axis.set(xlabel="z[0]", ylabel="z[1]", aspect="equal")
    axis.set_title(f"{name}: codes", fontsize=9)
    mosaic(picture, pv.manifold(pairs[name], num=example.choose(12, 8)).transpose(0, 1).flip(0))
    picture.set_title(f"{name}: E[x | z], z over the prior", fontsize=9)
    picture.set(xticks=[], yticks=[], xlabel="quantile of z[0]", ylabel="quantile of z[1]")
example.show(figure, "frey-manifold")

# %% [markdown]
r"""
## Ways between codes

A straight line between two codes of the last model stays on the surface; a straight line between two pictures is a double
exposure.
"""

# %%
order = codes.mean[:, 0].argsort()
start, end = data.test["x"][order[[2, -3]]]
t = torch.linspace(0, 1, 10).reshape(-1, 1, 1)
way = pv.interpolate(drawn_in, start.unsqueeze(0), end.unsqueeze(0), num=10)
some = data.test["x"][:10]
again = pv.reconstruct(drawn_in, some)
figure, (axis,) = panels(7.2, 4.2)
rows = torch.stack([some, again, way, torch.lerp(start, end, t)])
mosaic(axis, rows, ["x", "E[x | z]", "between codes", "between pixels"])
example.show(figure, "frey-codes")
