# %% [markdown]
r"""
# Frey faces: a manifold of two dimensions

    python benchmarks/worked/frey_faces.py [--smoke] [--out FOLDER]

1,965 frames of one face, 28 x 20 grey pixels, in 560 dimensions; but a face has few ways to move. A VAE with two latent
numbers,

$$z \sim N(0, I_2), \qquad x \mid z \sim N(g(z), s^2 I_{560}),$$

finds a surface g(z) near which the frames lie, and, unlike an autoencoder, lays them out on it as the prior says: the points
$z = (F^{-1}(u), F^{-1}(v))$, F the normal cdf and u, v evenly spaced, show it in the proportions in which it is used
(Kingma and Welling, Auto-Encoding Variational Bayes, 2014, Fig. 4a).
"""

# %%
from __future__ import annotations

import torch
from sklearn.decomposition import PCA
from worked import BLUE, Example, mosaic, panels

import pyrovae as pv
from pyrovae import plots
from pyrovae.diagnostics import posterior_moments

example = Example(__doc__)
torch.manual_seed(0)

# %% [markdown]
r"""
## Training

The scale s is learned: it settles at the size of what two numbers cannot say. Training stops when the bound on validation
frames has not risen for 30 epochs. (`--smoke` takes the 8x8 digits, without binarization.)
"""

# %%
data = pv.data.load(example.choose("frey-faces", "digits"), binarization="none")
pair = pv.pairs.vae(data.spec, latent_dim=2, likelihood="gaussian", hidden=example.choose((200, 200), (50,)))
run = pv.fit(pair, data, "meanfield", epochs=example.choose(400, 25), patience=30, progress=False)
evaluation = pv.evaluate(run, num_samples=example.choose(5000, 500))
figures = evaluation.to_json()
example.tell(
    epochs=len(run.history),
    scale=float(pair.model.likelihood.log_scale.detach().exp()),
    elbo=evaluation.elbo,
    log_p=(figures["log_evidence"], figures["log_evidence_stderr"]),
    heavy_tails=figures["heavy_tails"] / figures["num_data"],
    kl_per_dim=figures["kl_per_dim"]["z"],
)

# %% [markdown]
r"""
What two numbers can say by planes, and by a curved surface: squared error of unseen frames after PCA and after the VAE, whose
codes here are drawn from q(z | x), with noise.
"""

# %%
train, test = data.train["x"].flatten(1), data.test["x"].flatten(1)
plane = PCA(2, svd_solver="full").fit(train.numpy())
again = torch.as_tensor(plane.inverse_transform(plane.transform(test.numpy())))
curved = pv.reconstruction_error(pair.model, pair.guide, data.test).to_json()
example.tell(pca_error=float((test - again).square().sum(1).mean()), vae_error=curved["squared_error"])

# %% [markdown]
r"""
## The manifold
"""

# %%
example.show(plots.manifold(pv.manifold(pair.model, num=example.choose(16, 8))), "frey-manifold")

# %% [markdown]
r"""
## The codes of unseen frames, and ways between them

Each ellipse is a q(z | x), two scales wide. Together they should look like the prior. A straight line between two codes stays
on the surface; a straight line between two pictures is a double exposure.
"""

# %%
moments = posterior_moments(pair.model, pair.guide, data.test)["z"]
figure, (left, right) = panels(9.0, 3.4, 2, width_ratios=(1, 1.7))
circle = torch.linspace(0, 6.29, 60)
ring = torch.stack([circle.cos(), circle.sin()], 1)
for mean, scale in zip(*moments, strict=True):
    left.plot(*(mean + 2 * scale * ring).T, color=BLUE, lw=0.5, alpha=0.7)
left.plot(*(2 * ring).T, color="black", lw=1, ls="--", label="prior, two scales")
left.set(xlabel="z[0]", ylabel="z[1]", aspect="equal")
left.legend(frameon=False, fontsize=8, loc="upper left")
ends = moments.mean[:, 0].argsort()[[2, -3]]
start, end = data.test["x"][ends]
t = torch.linspace(0, 1, 9).reshape(-1, 1, 1)
way = pv.interpolate(pair.model, pair.guide, start.unsqueeze(0), end.unsqueeze(0), num=9)
some = data.test["x"][:9]
again = pv.reconstruct(pair.model, pair.guide, some)
rows = torch.stack([some, again, way, torch.lerp(start, end, t)])
mosaic(right, rows, ["x", "E[x | z]", "between codes", "between pixels"])
example.show(figure, "frey-codes")
