"""Does the guide's gradient drown as K grows? Signal-to-noise ratio of gradient estimators, after Rainforth et al. (2018).

    python benchmarks/gradient_snr.py --out benchmarks/figures/gradient-snr.png

Their model (Section 4.1 and Figure 1): z ~ N(mu, I), x | z ~ N(z, I) in 20 dimensions, q(z | x) = N(A x + b, 2/3 I), with
parameters a small random step away from the optimum. The squared signal-to-noise ratio of a parameter is the squared mean
over the variance of its gradient over many draws with one minibatch, less 1/draws, which noise alone would give; the root
of its mean over parameters is printed and drawn against K, for the guide (b) and the model (mu).
Expected slopes in log K: IWAE guide -1/2, IWAE model +1/2, DReG guide +1/2.
"""

from __future__ import annotations

import argparse
import json

import pyro
import pyro.distributions as dist
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from pyrovae import objectives
from pyrovae.plots import save

D = 20


class Model(nn.Module):
    """z ~ N(mu, I), x | z ~ N(z, I)."""

    def __init__(self, mu: Tensor) -> None:
        super().__init__()
        self.mu = nn.Parameter(mu)

    def forward(self, x: Tensor) -> None:
        with pyro.plate("data", x.shape[0], dim=-1):
            z = pyro.sample("z", dist.Normal(self.mu, 1.0).to_event(1))
            pyro.sample("x", dist.Normal(z, 1.0).to_event(1), obs=x)


class Guide(nn.Module):
    """q(z | x) = N(x / 2 + b, 2/3 I), the optimum at b = mu / 2."""

    def __init__(self, b: Tensor) -> None:
        super().__init__()
        self.b = nn.Parameter(b)

    def forward(self, x: Tensor) -> None:
        with pyro.plate("data", x.shape[0], dim=-1):
            pyro.sample("z", dist.Normal(x / 2 + self.b, (2 / 3) ** 0.5).to_event(1))


def snr(objective: objectives.Objective, pair: tuple[Model, Guide], x: Tensor, draws: int) -> dict[str, float]:
    """sqrt of the mean over parameters of (E g)^2 / var g, for the guide and the model."""
    rows = []
    for _ in range(draws):
        loss = objective.differentiable_loss(*pair, x=x)
        rows.append(torch.autograd.grad(loss, [pair[1].b, pair[0].mu]))
    found = {}
    for i, part in enumerate(("guide", "model")):
        grads = torch.stack([row[i] for row in rows])
        squared = grads.mean(0).square() / grads.var(0) - 1 / draws
        found[part] = float(squared.mean().clamp_min(0).sqrt())
    return found


def main() -> None:
    """Measure, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=3000)
    parser.add_argument("--particles", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", default="gradient-snr.png")
    options = parser.parse_args()
    torch.set_num_threads(2)
    torch.manual_seed(options.seed)
    mu = torch.randn(D)
    x = mu + 2**0.5 * torch.randn(256, D)
    pair = Model(mu + 0.01 * torch.randn(D)), Guide(mu / 2 + 0.01 * torch.randn(D))
    found: dict[str, dict[str, list[float]]] = {}
    for name in ("iwae", "dreg"):
        for k in options.particles:
            for part, ratio in snr(objectives.get(name, num_particles=k), pair, x, options.draws).items():
                found.setdefault(f"{name}, {part}", {}).setdefault("snr", []).append(ratio)
    for curve in found.values():
        seen = [i for i, ratio in enumerate(curve["snr"]) if ratio > 0]  # zero: lost in the noise of so many draws
        log_k, y = torch.tensor(options.particles)[seen].log(), torch.tensor(curve["snr"])[seen].log()
        centred = log_k - log_k.mean()
        curve["slope"] = [float((centred * (y - y.mean())).sum() / centred.square().sum())]
    print(json.dumps({"particles": options.particles, "draws": options.draws, "seed": options.seed, **found}, indent=1))
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for name, curve in found.items():
        axes.loglog(options.particles, curve["snr"], marker="o", label=f"{name} (slope {curve['slope'][0]:+.2f})")
    axes.set(xlabel="K", ylabel="signal-to-noise ratio of the gradient")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    save(figure, options.out)


if __name__ == "__main__":
    main()
