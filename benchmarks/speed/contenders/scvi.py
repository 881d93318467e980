"""scvi-tools' SCVI, in a process of its own. Run by the entry ``count-vae`` with an interpreter that has scvi-tools."""

from __future__ import annotations

import functools
import os
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

if sys.path[0] == str(Path(__file__).parent):
    del sys.path[0]  # this file has the name of the package

import anndata
import numpy as np
import scvi
import torch

from benchmarks.lab.worker import serve

__all__: list[str] = []


def fit(counts: str, settings: dict[str, Any], plain: bool) -> dict[str, Any]:
    """Train on the counts of a file, and log p(x) of its held-out rows given their library size."""
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    scvi.settings.seed = settings["seed"]
    own = np.load(counts)
    train, test = (anndata.AnnData(own[part].astype(np.float32)) for part in ("train", "test"))
    scvi.model.SCVI.setup_anndata(train)
    networks = {"use_batch_norm": "none", "use_layer_norm": "none", "dropout_rate": 0.0} if plain else {}
    sizes = {"n_hidden": settings["hidden"], "n_latent": settings["latent_dim"], "n_layers": 1}
    make = functools.partial(scvi.model.SCVI, train, gene_likelihood="nb", **sizes, **networks)
    quiet = {"enable_progress_bar": False, "logger": False, "enable_model_summary": False, "accelerator": "cpu"}
    plan = {"lr": settings["lr"], "weight_decay": 0.0, "n_epochs_kl_warmup": 1}
    steps = {"batch_size": settings["batch"], "train_size": 1.0, "plan_kwargs": plan, "devices": 1, **quiet}
    make().train(max_epochs=1, **steps)  # imports and first calls are not timed
    scvi.settings.seed = settings["seed"]
    model = make()
    began = time.process_time()
    model.train(max_epochs=settings["epochs"], **steps)
    seconds = time.process_time() - began
    values = model.get_marginal_ll(test, n_mc_samples=settings["samples"], return_mean=False)
    return {
        "values": np.asarray(values, dtype=float).tolist(),
        "train_cpu_s": seconds,
        "versions": {"scvi-tools": version("scvi-tools")},
    }


if __name__ == "__main__":
    serve({"fit": fit})
