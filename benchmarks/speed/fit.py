"""What does ``fit`` cost beside a hand-written PyTorch loop? Time of an epoch of the same network, side by side.

A VAE 784-200-200-50 with tanh on binary-mnist, batch 100, Adam (fused): ``pyrovae.fit`` against a loop over the same
weights that a good user would write by hand, both with data shuffled and gathered by index, neither with validation. The two
alternate in one process; the medians and their ratio are recorded.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

import pyrovae as pv
from benchmarks.lab import markdown
from benchmarks.lab.entry import Entry, Job, Option, Spend
from benchmarks.lab.records import Row

__all__ = ["ENTRY"]

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


def run(job: Job) -> None:
    """Alternate, and record the medians."""
    options = job.options
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
        run = pv.fit(pair, data, epochs=1, batch_size=BATCH, validate=False, progress=False, compile=options.compile)
        times["fit"].append(run.records[0]["seconds"])
    hand, fit = (statistics.median(times[key][1:]) for key in ("hand", "fit"))  # the first round warms up
    steps = -(-len(x) // BATCH)
    found = {"hand_s": round(hand, 3), "fit_s": round(fit, 3), "ratio": round(fit / hand, 3)}
    found |= {"hand_ms_a_step": round(1000 * hand / steps, 3), "fit_ms_a_step": round(1000 * fit / steps, 3)}
    threads = options.threads or torch.get_num_threads()
    key = {"data": options.data, "compile": bool(options.compile), "rounds": options.rounds, "threads": threads}
    job.records.add(key, found)


def tables(rows: Sequence[Row]) -> dict[str, str]:
    """Seconds of an epoch, milliseconds of a step."""
    heads = ["data", "rounds", "hand-written, s", "fit, s", "ratio", "hand-written, ms a step", "fit, ms a step"]
    names = ("data", "rounds", "hand_s", "fit_s", "ratio", "hand_ms_a_step", "fit_ms_a_step")
    return {"fit-speed": markdown.table(heads, [[row[name] for name in names] for row in rows])}


ENTRY = Entry(
    name="fit-speed",
    shows="What an epoch of fit costs beside a hand-written PyTorch loop over the same network.",
    budgets={
        "smoke": Spend("a second", {"rounds": 1, "data": "digits"}),
        "cpu": Spend("half a minute", {"threads": 2}),
    },
    run=run,
    tables=tables,
    options={
        "rounds": Option("in which the two take turns", 7),
        "data": Option("a data set of binary images", "binary-mnist"),
        "compile": Option("the step of fit", False),
    },
)
