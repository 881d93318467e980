"""Whether a run is to be trusted."""

from __future__ import annotations

from pyrovae.cli.options import parse
from pyrovae.cli.run_options import load_run, run_parser
from pyrovae.cli.saying import say
from pyrovae.core.inference import check_seed
from pyrovae.evaluation.trust import verdict

__all__ = ["judge_run"]


def judge_run(args: list[str]) -> int:
    """Is the fit to be trusted, and what to do next? pyrovae verdict runs/vae"""
    parser = run_parser("verdict", judge_run.__doc__ or "")
    parser.add_argument("--weights", type=str | None, default=None, help="best or last")
    parser.add_argument("--seed", type=int, default=0, help="of the samples")
    options = parse(parser, args)
    found = verdict(load_run(options, weights=options.weights), seed=check_seed(options.seed))
    say(found, result=found.to_json())
    return 0
