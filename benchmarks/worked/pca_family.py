# %% [markdown]
r"""
# PCA, logistic PCA, deep autoencoder, VAE and t-SNE side by side

    python -m benchmarks run pca-family --budget cpu

Five ways to say an image in few numbers, each one change away from the last:

| | code | picture of a code | what is least |
|---|---|---|---|
| PCA | z = W x + b | W' z + c | squared error |
| logistic PCA | z = A x + a | sigmoid(W z + c) | cross-entropy of the pixels |
| deep autoencoder | z = f(x), a network | sigmoid(g(z)), a network | the same |
| VAE | z ~ N(m(x), diag s(x)^2) | the same | the same, in the mean over z, + KL(q(z given x), N(0, I)) |
| t-SNE | a free point for each image | none | KL between the neighbourhoods in the two spaces |

Collins, Dasgupta and Schapire (2001) for logistic PCA; Hinton and Salakhutdinov (2006) for the deep autoencoder, whose Fig. 2B
and 3 this example repeats in small; Kingma and Welling (2014); van der Maaten and Hinton (2008). PCA is also the linear
autoencoder, which finds the same subspace by gradient descent (Baldi and Hornik, 1989).
"""

# %%
from __future__ import annotations

import torch
from matplotlib import colormaps
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor

import pyrovae as pv
from benchmarks.worked.example import Example, mosaic, panels
from pyrovae.evaluation.latents import posterior_moments

example = Example()
torch.manual_seed(0)

# %% [markdown]
r"""
## Training

Grey pixels in [0, 1]. Their cross-entropy (`bernoulli-grey`) is an energy and no density, so none of these pairs has a
log p(x), and asking for it is refused; what they share is an error of reconstruction. The networks are 784-500-250-d, a good
deal smaller than the paper's, and trained for minutes. (`--budget smoke` takes the 8x8 digits.)
"""

# %%
data = pv.data.load(example.choose("mnist", "digits"), binarization="none")
x_train, x_test = data.train["x"].flatten(1), data.test["x"]
hidden, many = example.choose((500, 250), (64,)), example.choose(30, 10)
deep = {"hidden": hidden, "activation": "relu"}
makers = {
    "logistic PCA": lambda d: pv.pairs.logistic_pca(data.spec, latent_dim=d),
    "deep AE": lambda d: pv.pairs.deep_ae(data.spec, latent_dim=d, **deep),
    "VAE": lambda d: pv.pairs.vae(data.spec, latent_dim=d, likelihood="bernoulli-grey", **deep),
}


def trained(name: str, latent_dim: int) -> pv.Pair:
    """One of the pairs, trained by its usual objective."""
    torch.manual_seed(0)
    pair = makers[name](latent_dim)
    objective = "meanfield" if name == "VAE" else pair.objective
    epochs = example.choose(10, 15)
    falling = {"scheduler": "CosineAnnealingLR", "scheduler_options": {"T_max": epochs}}
    batch_size = example.choose(200, 100)
    pv.fit(
        pair,
        data,
        objective,
        epochs=epochs,
        batch_size=batch_size,
        lr=example.choose(2e-3, 6e-3),
        validate=False,
        progress=False,
        **falling,
    )
    return pair


pairs = {(name, d): trained(name, d) for name in makers for d in (2, many)}
planes = {d: PCA(d, svd_solver="full").fit(x_train.numpy()) for d in (2, many)}

# %% [markdown]
r"""
## Squared errors

|x - x'|^2 for an image, a mean over the test images. For the VAE x' is once the picture of a drawn z, noise and all, and once
that of the mean m(x). Hinton and Salakhutdinov have 13.87 for PCA, 8.01 for logistic PCA and 3.00 for their autoencoder at 30
dimensions (caption of Fig. 2B; PCA's is what scikit-learn gives below), after long training of 784-1000-500-250-30.
"""


# %%
def codes(pair: pv.Pair) -> Tensor:
    """The means of q(z | x) of the test images, (N, d)."""
    return posterior_moments(pair, data.test)["z"].mean


@torch.no_grad()
def pictures(pair: pv.Pair, z: Tensor) -> Tensor:
    """E[x | z], (N, H, W)."""
    return torch.sigmoid(pair.model.decoder(z).squeeze(1))


def plane_pictures(d: int) -> Tensor:
    """The projections of the test images on d principal components, (N, H, W)."""
    plane = planes[d]
    return torch.as_tensor(plane.inverse_transform(plane.transform(x_test.flatten(1).numpy()))).reshape(x_test.shape).float()


def squared_error(again: Tensor) -> float:
    """The mean over images of |x - x'|^2."""
    return float((x_test - again).square().flatten(1).sum(1).mean())


again = {("PCA", d): plane_pictures(d) for d in planes}
again |= {key: pictures(pair, codes(pair)) for key, pair in pairs.items()}
errors = {f"{name}, {d}-d": squared_error(picture) for (name, d), picture in again.items()}
for d in (2, many):
    pair = pairs["VAE", d]
    errors[f"VAE with noise, {d}-d"] = pv.reconstruction_error(pair, data.test).to_json()["squared_error"]
example.tell(squared_error=errors)

figure, (axis,) = panels(7.2, 3.4)
names = ["PCA", *makers]
rows = [x_test[:12], *(again[name, many][:12] for name in names)]
labels = ["x", *(f"{name}: {errors[f'{name}, {many}-d']:.2f}" for name in names)]
mosaic(axis, torch.stack(rows), labels)
axis.set_title(f"{many} numbers an image; mean squared error on test images", fontsize=9)
example.show(figure, "pca-family-reconstructions")

# %% [markdown]
r"""
## Two numbers

The same test images in five planes. Under each, how often the majority of an image's ten nearest neighbours in the plane has
its class (one half of the images votes on the other). t-SNE, which keeps neighbourhoods and nothing else, is best at that; but
it has no map for a new image, and no picture for a point.
"""

# %%
rows = torch.randperm(len(x_test), generator=torch.Generator().manual_seed(0))[: example.choose(3000, 250)]
y = data.test["y"][rows]
flat = x_test[rows].flatten(1).numpy()
maps = {"PCA": torch.as_tensor(planes[2].transform(flat))}
maps |= {name: codes(pairs[name, 2])[rows] for name in makers}
maps["t-SNE"] = torch.as_tensor(TSNE(2, init="pca", perplexity=30, random_state=0).fit_transform(flat))
half = len(rows) // 2
votes = {}
for name, points in maps.items():
    neighbours = KNeighborsClassifier(10).fit(points[:half].numpy(), y[:half].numpy())
    votes[name] = float(neighbours.score(points[half:].numpy(), y[half:].numpy()))
example.tell(neighbours=votes)

figure, axes = panels(11.0, 2.6, 5)
for axis, (name, points) in zip(axes, maps.items(), strict=True):
    for digit, color in enumerate(colormaps["tab10"].colors):
        axis.scatter(*points[y == digit].T, s=2, lw=0, color=color, label=str(digit))
    axis.set(xticks=[], yticks=[], xlabel=f"neighbours agree: {votes[name]:.0%}")
    axis.set_title(name, fontsize=10)
axes[-1].legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5), markerscale=4, handletextpad=0)
example.show(figure, "pca-family-planes")
