"""What a pair of a table says, as a DataFrame in the user's columns and units: draws, imputations, log p(x) of each row."""

from __future__ import annotations

from typing import Any

import pandas
import torch

from pyrovae.calls import public
from pyrovae.core.doors import as_pair_and_rows, batches
from pyrovae.core.pair import PairLike, as_pair, open_run
from pyrovae.core.program import Batch
from pyrovae.data import DataSpec
from pyrovae.data.changes import log_jacobian
from pyrovae.data.frames import as_frame
from pyrovae.errors import OptionError
from pyrovae.evidence import log_evidence
from pyrovae.generate import impute, reconstruct, sample

__all__ = ["impute_table", "log_evidence_table", "reconstruct_table", "sample_table"]


@public()
def sample_table(pair: PairLike, num: int = 10, data: Any = None) -> pandas.DataFrame:
    """Rows drawn from p(x), complete, as a DataFrame of ``num`` rows in the user's columns and units.

    Args:
        pair: a Run or a run's folder; or a Pair, or (model, guide), with data.
        num: how many rows.
        data: that describe the table; by default the run's own.
    """
    spec = _spec(pair, data)
    seen = {"mask": torch.ones(1, *spec.shape)} if spec.roles.get("missing") else None
    return as_frame(sample(as_pair(pair), num, like=seen)["x"].cpu(), spec)


@public()
def reconstruct_table(pair: PairLike, data: Any = None, num_samples: int = 100) -> pandas.DataFrame:
    """E[x | z] over z ~ q(z | x) of each row, whatever is missing filled in, as a DataFrame in the user's columns and units.

    Of classes and ordered levels the most probable one; of a column under log1p the inverse of the mean.

    Args:
        pair: a Run, a run's folder, a Pair, or (model, guide).
        data: rows of the table; by default the test part of the run's own.
        num_samples: K, draws of z for each row.
    """
    spec = _spec(pair, data)
    own, rows = as_pair_and_rows(pair, data, "reconstruct_table")
    return as_frame(reconstruct(own, rows, num_samples).cpu(), spec)


@public()
def impute_table(pair: PairLike, data: Any = None, num_samples: int = 100) -> pandas.DataFrame:
    """The rows, each missing value filled in by self-normalized importance sampling, in the user's columns and units.

        sum_k v_k E[x | z_k],   v_k = w_k / sum_k w_k,   w_k = p(x_observed, z_k) / q(z_k | x_observed)

    Of classes and ordered levels the most probable one; of a column under log1p the inverse of the mean.

    Args:
        pair: a Run, a run's folder, a Pair, or (model, guide), of data with missing values.
        data: rows of the table; by default the test part of the run's own.
        num_samples: K, draws of z for each row.

    References: Mattei and Frellsen, MIWAE: Deep Generative Modelling and Imputation of Incomplete Data Sets, 2019.
    """
    spec = _spec(pair, data)
    own, rows = as_pair_and_rows(pair, data, "impute_table")
    whole = _whole(own, rows)
    if "mask" not in whole:
        raise OptionError(
            f"{spec.name} has no missing values: its batches have no mask, 1 where x is seen; use reconstruct_table."
        )
    return as_frame(impute(own, rows, num_samples).cpu(), spec)


@public()
def log_evidence_table(pair: PairLike, data: Any = None, **options: Any) -> pandas.DataFrame:
    """log p(x) of each row in the user's units, in nats, with its Monte Carlo error: columns log_p, stderr and khat.

        log p(u) = log p(x) + sum_i log |dx_i / du_i|,   u the user's values, x those of the batches

    Args:
        pair: a Run, a run's folder, a Pair, or (model, guide).
        data: rows of the table; by default the test part of the run's own.
        options: of :func:`pyrovae.log_evidence`.
    """
    spec = _spec(pair, data)
    own, rows = as_pair_and_rows(pair, data, "log_evidence_table")
    evidence = log_evidence(own, rows, **options)
    whole = _whole(own, rows)
    log_p = evidence.value.cpu().double() + log_jacobian(whole["x"], spec, whole.get("mask"))
    return pandas.DataFrame({"log_p": log_p, "stderr": evidence.stderr.cpu(), "khat": evidence.khat.cpu()})


# ------------------------------------------------------------------------------------------------ parts
def _spec(pair: PairLike, data: Any) -> DataSpec:
    """The description of the table: the run's own, or that of the data."""
    as_pair(pair)
    run = open_run(pair)
    source = getattr(run, "data", None) or data
    spec = getattr(source, "spec", None)
    if spec is None:
        raise OptionError(f"a {type(data).__name__} does not describe a table; give a Run, or what pyrovae.data.load returns.")
    return spec


def _whole(pair: PairLike, rows: Any) -> Batch:
    parts = list(batches(as_pair(pair), rows, 1000))
    return {key: torch.cat([part[key] for part in parts]).cpu() for key in parts[0]}
