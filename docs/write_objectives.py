"""Write the table of docs/objectives.md, which objective moves what: ``make catalogue``."""

from __future__ import annotations

from pathlib import Path

from pyrovae.objectives import OBJECTIVES, Objective

PAGE = Path(__file__).parent / "objectives.md"

HEAD = "| objective | bound |"  # where what is made begins
COLUMNS = ("updates and what they move", "batches", "batch is more than its rows", "weights that may be scheduled")


def row(name: str) -> str:
    """What the class says of itself."""
    kind = OBJECTIVES[name]
    assert issubclass(kind, Objective)
    built = OBJECTIVES.build(name)
    told = [f"{update}: {', '.join(groups)}" for update, groups in kind.moves.items()]
    moves = "pair" if len(told) == 1 else "; ".join(told)
    weights = ", ".join(built.weights) or ""
    return f"| `{name}` | {built.bound} | {moves} | {built.num_batches} | {'' if built.separable else 'yes'} | {weights} |"


def page() -> str:
    """The page, its last table anew."""
    text = PAGE.read_text(encoding="utf-8").partition(HEAD)[0]
    return "\n".join([f"{text}{HEAD} {' | '.join(COLUMNS)} |", "|---" * (len(COLUMNS) + 2) + "|", *map(row, OBJECTIVES), ""])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
