"""Importance Weighted Autoencoders, Table 1 and appendix D: MNIST, one and two stochastic layers, VAE and IWAE."""

from __future__ import annotations

from typing import Any

from benchmarks.lab import tabled
from benchmarks.lab.cells import Budget, Cell, Published, Table, cosine

__all__ = ["DATA", "ENTRY", "LAYERS", "cell", "schedule"]

# the name on which the paper's 60,000 training images are to be had, and the fixed 50,000
DATA = {"dyn": "mnist-60k", "fixed": "binary-mnist"}
IMAGES = {"dyn": 60_000, "fixed": 50_000}
LAYERS = {1: "vae", 2: "two-layer-vae"}
TINY: dict[int, dict[str, Any]] = {
    1: {"latent_dim": 3, "hidden": [8]},
    2: {"latent_dim": 2, "lower_dim": 3, "hidden": [8], "upper_hidden": [4]},
}

# Burda, Grosse and Salakhutdinov 2016: log p(x) by 5,000 samples, and active units of each stochastic layer
SOURCE = {
    "dyn": "Burda, Grosse and Salakhutdinov 2016, Table 1",
    "fixed": "Burda, Grosse and Salakhutdinov 2016, Table 3 (appendix D)",
}
PAPER = {
    ("dyn", 1, "VAE"): {1: (-86.76, "19"), 5: (-86.47, "20"), 50: (-86.35, "20")},
    ("dyn", 1, "IWAE"): {5: (-85.54, "22"), 50: (-84.78, "25")},
    ("dyn", 2, "VAE"): {1: (-85.33, "16+5"), 5: (-85.01, "17+5"), 50: (-84.78, "17+5")},
    ("dyn", 2, "IWAE"): {5: (-83.89, "21+5"), 50: (-82.90, "26+7")},
    ("fixed", 1, "VAE"): {1: (-88.71, "19"), 5: (-88.83, "19"), 50: (-89.05, "20")},
    ("fixed", 1, "IWAE"): {5: (-87.63, "22"), 50: (-87.10, "24")},
    ("fixed", 2, "VAE"): {1: (-88.08, "16+5"), 5: (-87.63, "17+5"), 50: (-87.86, "17+6")},
    ("fixed", 2, "IWAE"): {5: (-86.17, "21+5"), 50: (-85.32, "24+7")},
}

# Milliseconds a compiled step of 100 images takes two threads of the machine of benchmarks/README.md, by which the "cpu"
# budget sets its epochs: one layer at k = 1 and 50 measured there, the others between or scaled by its row iwae2-20. With
# k = 5 in bf16, which takes 0.67 times the float32 step of one thread (4.3 to 6.3 ms; two layers 6.0 to 9.1).
STEP_MS = {(1, 1): 1.3, (1, 5): 2.2, (1, 50): 15.5, (1, 64): 20.0, (2, 1): 1.9, (2, 5): 2.9, (2, 50): 23.0}
REST_S = {"dyn": 0.15, "fixed": 0.25}  # an epoch's binarization and shuffling, or its validation
ENOUGH = 800  # epochs in 30 minutes on the 50,000 fixed images, after which more overfit

# Section 5 of the paper: 3^i epochs at the learning rate 0.001 10^(-i/7), i = 0, ..., 7
MILESTONES = [1, 4, 13, 40, 121, 364, 1093]
PAPER_FIT = {
    "epochs": 3280,
    "batch_size": 20,
    "lr": 1e-3,
    "optimizer_options": {"betas": [0.9, 0.999], "eps": 1e-4},
    "scheduler": "MultiStepLR",
    "scheduler_options": {"milestones": MILESTONES, "gamma": 10 ** (-1 / 7)},
}


def schedule(budget: Budget, layers: int, particles: int, data: str, started: bool = False) -> dict[str, Any]:
    """Arguments of ``fit`` for a network of so many stochastic layers and so many particles, trained before or not."""
    if budget.name == "smoke":
        return cosine(2, batch_size=200, lr=1e-2, checkpoint_seconds=0, compile=False)
    if budget.name == "paper":
        return dict(PAPER_FIT)
    epochs = budget.epochs(1.1 * STEP_MS[layers, particles] * IMAGES[data] / 100 / 1000 + REST_S[data])
    options: dict[str, Any] = {"batch_size": 100} if particles == 1 else {"batch_size": 100, "precision": "bf16"}
    if data == "fixed":
        epochs = epochs if started else min(epochs, round(ENOUGH * budget.minutes / 30))
        options["patience"] = epochs  # ends with the best parameters by the validation bound
    return cosine(epochs, lr=1e-3 if started else 2e-3, **options)


def cell(budget: Budget, data: str, layers: int, method: str, particles: int) -> Cell:
    """The VAE (the ELBO by k samples) or the IWAE at k particles; k = 50 goes on from k = 5 but for the paper's budget."""
    start = cell(budget, data, layers, method, 5) if particles == 50 and budget.name != "paper" else None
    protocol = f"{method}, k = {particles}" if particles > 1 else "VAE = IWAE, k = 1"
    log_p, active = PAPER[data, layers, method][particles]
    return Cell(
        label=f"{layers} {'layer' if layers == 1 else 'layers'}, {protocol}",
        protocol=protocol,
        pair=LAYERS[layers],
        options=budget.choose(smoke=TINY[layers], paper={}),
        data=budget.data(DATA[data], "dynamic" if data == "dyn" else "fixed"),
        objective=f"{'elbo' if method == 'VAE' else 'iwae'}:num_particles={particles}",
        fit=schedule(budget, layers, particles, data, started=start is not None),
        start=start,
        samples=budget.samples(),
        published=budget.published(Published(log_p, SOURCE[data], active=active)),
    )


def cells(budget: Budget) -> list[Cell]:
    """Each data set, each depth: k = 1, where VAE and IWAE are one, then both at k = 5 and 50."""
    methods = [("VAE", 1), ("VAE", 5), ("IWAE", 5), ("VAE", 50), ("IWAE", 50)]
    return [cell(budget, data, layers, *method) for data in DATA for layers in LAYERS for method in methods]


IWAE = Table(
    "iwae",
    "Importance weighted autoencoders: Table 1 and appendix D",
    "784-200-200-[50] and 784-200-200-[100]-100-100-[50], tanh. The rows of a VAE train on the ELBO by k samples; those of "
    "k = 50 go on from k = 5, whose epochs and minutes are added to theirs. The paper: Adam with eps 1e-4 on batches of 20, "
    "3,280 epochs at falling learning rates, each k from new parameters.",
    cells,
)

ENTRY = tabled.entry(
    IWAE,
    shows="Table 1 and appendix D of the IWAE's paper: VAE and IWAE, k = 1, 5, 50, one and two layers, two binarizations.",
    smoke="9 seconds",
    paper="20 cells of 3,280 epochs in batches of 20",
)
