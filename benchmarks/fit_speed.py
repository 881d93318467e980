"""What does ``fit`` cost beside a hand-written PyTorch loop? Time of an epoch of the same network, side by side.

    python benchmarks/fit_speed.py --threads 2

A VAE 784-200-200-50 with tanh on binary-mnist, batch 100, Adam (fused): ``pyrovae.fit`` against a loop over the same
weights that a good user would write by hand, both with data shuffled and gathered by index, neither with validation. The two
alternate in one process; the medians and their ratio are printed as a row of JSON.
"""

from __future__ import annotations

import argparse
import itertools
import json
import platform
import statistics
import time

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

import pyrovae as pv

BATCH, LATENT, HIDDEN = 100, 50, [200, 200]


class HandWritten(nn.Module):
    """The VAE as one module with its loss, no library."""

    def __init__(self, data_dim: int) -> None:
        super().__init__()
        sizes = [data_dim, *HIDDEN]
        self.encoder = nn.Sequential(*self.layers(sizes), nn.Linear(HIDDEN[-1], 2 * LATENT))
        self.decoder = nn.Sequential(*self.layers([LATENT, *reversed(HIDDEN)]), nn.Linear(HIDDEN[0], data_dim))

    @staticmethod
    def layers(sizes: list[int]) -> list[nn.Module]:
        """Linear and tanh for each pair of sizes."""
        return [layer for a, b in itertools.pairwise(sizes) for layer in (nn.Linear(a, b), nn.Tanh())]

    def loss(self, x: Tensor) -> Tensor:
        """Minus the sampled ELBO, the mean over the batch."""
        loc, log_scale = self.encoder(x).chunk(2, -1)
        noise = torch.randn_like(loc)
        z = loc + log_scale.exp() * noise
        kl = (0.5 * (z.square() - noise.square()) - log_scale).sum()  # log q - log p, the constants cancel
        return (binary_cross_entropy_with_logits(self.decoder(z), x, reduction="sum") + kl) / len(x)


def hand_written_epoch(model: HandWritten, optimizer: torch.optim.Optimizer, x: Tensor) -> float:
    """One epoch; the mean bound per datum."""
    order = torch.randperm(len(x))
    total = torch.zeros(())
    for rows in order.split(BATCH):
        batch = x[rows].float()
        optimizer.zero_grad(set_to_none=True)
        loss = model.loss(batch)
        loss.backward()
        optimizer.step()
        total -= loss.detach() * len(batch)
    return float(total) / len(x)


def main() -> None:
    """Alternate, and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--data", default="binary-mnist")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    data = pv.data.load(options.data)
    x = data.train["x"].flatten(1).to(torch.uint8)
    torch.manual_seed(0)
    model = HandWritten(x.shape[1])
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    pair = pv.pairs.vae(data.spec, latent_dim=LATENT, hidden=HIDDEN)
    times: dict[str, list[float]] = {"hand": [], "fit": []}
    for _ in range(options.rounds + 1):
        began = time.perf_counter()
        hand_written_epoch(model, optimizer, x)
        times["hand"].append(time.perf_counter() - began)
        run = pv.fit(pair, data, epochs=1, batch_size=BATCH, validate=False, progress=False)
        times["fit"].append(run.records[0]["seconds"])
    hand, fit = (statistics.median(times[key][1:]) for key in ("hand", "fit"))  # the first round warms up
    steps = -(-len(x) // BATCH)
    print(
        json.dumps(
            {
                "hand_written_s": round(hand, 3),
                "fit_s": round(fit, 3),
                "ratio": round(fit / hand, 3),
                "hand_written_ms_a_step": round(1000 * hand / steps, 3),
                "fit_ms_a_step": round(1000 * fit / steps, 3),
                "rounds": options.rounds,
                "threads": options.threads,
                "torch": torch.__version__,
                "machine": platform.processor(),
            }
        )
    )


if __name__ == "__main__":
    main()
