"""The command that leads a pair astray."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pyrovae import plots
from pyrovae.cli.options import argument_help, parse
from pyrovae.cli.run_options import load_run, run_parser
from pyrovae.cli.saying import say
from pyrovae.core.inference import check_seed
from pyrovae.errors import OptionError, RunError
from pyrovae.evaluation.attack_measures import code_classifier
from pyrovae.evaluation.attacks import Attack, attack
from pyrovae.evaluation.distortion import distortion_curve
from pyrovae.files import require_writable, write_json
from pyrovae.train import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["attack_run"]

LOOKED_AT = 10  # test data for each that is attacked, among which its target is looked for


def attack_run(args: list[str]) -> int:
    """Adversarial examples of a run: pyrovae attack runs/vae --kind latent --num 6 --out attack.png"""
    parser = run_parser("attack", attack_run.__doc__ or "")
    texts = argument_help(attack)
    parser.add_argument("--kind", type=str, default="latent", help=texts["kind"])
    parser.add_argument("--cost", type=float, default=1.0, help=texts["cost"])
    parser.add_argument("--num", type=int, default=6, help="how many test data")
    parser.add_argument("--num_samples", type=int, default=1, help=texts["num_samples"])
    parser.add_argument("--num_steps", type=int, default=200, help=texts["num_steps"])
    parser.add_argument("--curve", type=bool, default=False, help="also attacks of other costs, and their curve's area")
    parser.add_argument("--out", type=str, default="attack.png", help="a picture (.png)")
    parser.add_argument("--seed", type=int, default=0, help="of the draws")
    options = parse(parser, args)
    if not math.isfinite(options.cost):
        raise OptionError(f"cost is {options.cost}; expected a number of at least 0.")
    check_seed(options.seed)
    found = Path(options.run) / "attack.json"
    for path in (found, options.out):
        require_writable(path)
    run = load_run(options)
    x, target = victims(run, options.num)
    how = {"num_samples": options.num_samples, "num_steps": options.num_steps, "seed": options.seed}
    how["classifier"] = code_classifier(run, run.data) if options.kind == "classifier" else None
    made = attack(run, x, target, options.kind, options.cost, **how)
    figures = {"kind": options.kind, "cost": options.cost, "seed": options.seed, **made.to_json()}
    if options.curve:
        curve = distortion_curve(run, x, target, options.kind, **how)
        figures["curve"] = curve.to_json()
        say(curve)
    plots.save(picture(made), options.out)
    try:
        write_json(found, figures)
    finally:  # what cannot be written is at least said
        say(f"{made} in {options.out}", result={"out": options.out, **figures})
    return 0


def victims(run: Run, num: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The first test data, and for each another as target: of another class, where there are classes."""
    part = None if run.data is None else run.data.test or run.data.train
    if part is None:
        raise RunError(f"{run.path} has no data; give --data.")
    if num < 1:
        raise OptionError(f"num is {num}; expected a whole number of at least 1.")
    rows = next(iter(part.batches((1 + LOOKED_AT) * num)))
    size = len(next(iter(rows.values())))
    if size < num + 1:
        raise OptionError(f"num is {num}, and there are {size} test data; expected fewer, so that others are left as targets.")
    chosen, labels = [], rows.get("y")
    for i in range(num):
        others = [num + (i + step) % (size - num) for step in range(size - num)]
        if labels is not None:
            others = [j for j in others if labels[j] != labels[i] and labels[j] >= 0] or others
        chosen.append(others[0])
    return {key: value[:num] for key, value in rows.items()}, {key: value[torch.tensor(chosen)] for key, value in rows.items()}


def picture(found: Attack) -> Figure:
    """The picture of an attack, on the scale of its data."""
    seen = torch.cat([found.x, found.target])
    scale = {"vmin": min(0.0, float(seen.min())), "vmax": max(1.0, float(seen.max()))}
    shown = (found.x, found.clean, found.eta, found.reconstruction, found.aim, found.target)
    return plots.attacks(*[each.cpu() for each in shown], **scale)
