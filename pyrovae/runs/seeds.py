"""One pair trained from several seeds: a run each, and one table of medians and quartiles."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas

from pyrovae.calls import public
from pyrovae.core.inference import private_random
from pyrovae.core.pair import Pair, as_pair
from pyrovae.data import DataSpec, as_data
from pyrovae.errors import ContractError, OptionError
from pyrovae.runs.folders import resume
from pyrovae.runs.stages import fit_stages, refuse_other
from pyrovae.train import Run
from pyrovae.train.run import CHECKPOINT

__all__ = ["SeedRuns", "fit_seeds"]

NO_FIGURES = ("epoch", "step", "lr")  # of a history, of which a median over seeds tells nothing


@dataclass(frozen=True)
class SeedRuns:
    """The runs of :func:`fit_seeds`.

    Attributes:
        seeds: of the runs, in their order.
        runs: one for each seed.
    """

    seeds: tuple[int, ...]
    runs: tuple[Run, ...]

    @property
    def table(self) -> pandas.DataFrame:
        """One row a figure: its value of each seed, then the median and the quartiles over seeds.

        Figures are those of the run's history at the epoch whose parameters it has, the best where there is one, bounds in
        nats per datum, and the seconds of all epochs.
        """
        columns = {
            seed: pandas.Series(_figures(run), dtype="float64") for seed, run in zip(self.seeds, self.runs, strict=True)
        }
        frame = pandas.DataFrame(columns)
        quartiles = frame.quantile([0.5, 0.25, 0.75], axis=1).T.set_axis(
            ["median", "lower quartile", "upper quartile"], axis=1
        )
        return frame.join(quartiles)

    @property
    def ranked(self) -> tuple[Run, ...]:
        """The runs from the highest value of what was trained to the lowest, of valid data where there are any."""
        return tuple(sorted(self.runs, key=_value, reverse=True))

    @property
    def unfinished(self) -> bool:
        """Whether a signal ended the last run; the same call goes on."""
        return self.runs[-1].unfinished

    def __len__(self) -> int:
        return len(self.runs)

    def __repr__(self) -> str:
        return f"{len(self)} runs of one pair, by their seeds\n{self.table.to_string(float_format=lambda x: f'{x:.3f}')}"


def _value(run: Run) -> float:
    figures = _figures(run)
    return float(figures.get("valid", figures.get("train", -math.inf)))


def _figures(run: Run) -> dict[str, Any]:
    if not run.records:
        return {}
    chosen = next((row for row in run.records if run.weights == "best" and row["epoch"] == run.best_epoch), run.records[-1])
    figures = {name: value for name, value in chosen.items() if name not in NO_FIGURES and isinstance(value, (int, float))}
    return {**figures, "seconds": sum(row["seconds"] for row in run.records)}


@public(without={"builder"})
def fit_seeds(
    builder: Callable[[DataSpec], Pair],
    data: Any,
    *,
    seeds: Iterable[int] = range(5),
    out: str | os.PathLike[str] | None = None,
    **options: Any,
) -> SeedRuns:
    """Train one pair from each of several seeds, which draw its first parameters, the order of the data and all noise.

    Run i is that of ``fit_stages(builder, data, seed=i)``, to the last bit. They run one after the other, with all cores each;
    what Inductor made of the first step serves the others.

    Args:
        builder: a function of the data's description that returns a Pair, such as :func:`pyrovae.pairs.vae`.
        data: as for :func:`pyrovae.fit`, the same for all.
        seeds: whole numbers, each once.
        out: folder of the runs, ``<out>/seed-<i>``. One that is there already is resumed to its end, so that the same call
            continues what was interrupted; one of other options, or other data, is refused.
        options: of :func:`pyrovae.fit_stages`, but for ``seed``.

    Returns:
        :class:`SeedRuns`; of the runs so far, where a signal ended one.

    Raises:
        OptionError: no seed, or one of them twice.
        ContractError: the builder is a pair, which has its parameters already.
        RunError: a folder holds a run of another pair, of other options or of other data.

    >>> import pyrovae as pv
    >>> short = {"epochs": 1, "progress": False}
    >>> found = pv.fit_seeds(lambda spec: pv.pairs.vae(spec, latent_dim=2), pv.data.load("digits"), seeds=[0, 1], **short)
    >>> list(found.table.columns)
    [0, 1, 'median', 'lower quartile', 'upper quartile']
    """
    chosen = tuple(seeds)
    if not chosen or len(set(chosen)) < len(chosen) or "seed" in options:
        raise OptionError(f"seeds is {list(chosen)}; expected at least one seed, each once, and no option seed beside it.")
    if not callable(builder) or isinstance(builder, Pair):
        raise ContractError(
            f"fit_seeds makes a new pair for each seed; expected a function of the data's description, such as "
            f"pyrovae.pairs.vae, and got a {type(builder).__name__}."
        )
    data, runs = as_data(data), list[Run]()
    for seed in chosen:
        folder = None if out is None else Path(out) / f"seed-{seed}"
        with private_random(seed):
            pair = as_pair(builder(data.spec))
        if folder is not None and (folder / CHECKPOINT).exists():
            refuse_other(folder, pair, data, {**options, "seed": seed}, "run")
            again = {name: options[name] for name in ("callbacks", "progress") if name in options}
            runs.append(resume(folder, pair=pair, data=data, **again))
        else:
            runs.append(fit_stages(pair, data, out=folder, seed=seed, **options))
        if runs[-1].unfinished:
            break
    return SeedRuns(chosen[: len(runs)], tuple(runs))
