"""Write docs/objectives.md, what an objective may ask of a pair and which does: ``make catalogue``."""

from __future__ import annotations

from pathlib import Path

from pyrovae.objectives import OBJECTIVES, Objective

PAGE = Path(__file__).parent / "objectives.md"

TEXT = """# What an objective may ask of a pair

An objective is a generator of updates ([how it is made](../pyrovae/objectives/README.md)). It sees a pair through traces alone:

| it asks for | by | what it gets | used by |
|---|---|---|---|
| K draws, and every site's score | `self.trace(given)` | `log_p`, `log_q`, `log_weight`, `latents`, (K, B) each, scored when asked for | all |
| exact sums over discrete sites | `traced.expect(values)`, `traced.log_terms` | sums over the values that the guide enumerates | `elbo`, `meanfield`, `enum`, `iwae`, `semisupervised` |
| the score function of drawn sites | `traced.sampled_score` | sum of log q of the sites without reparameterization | `elbo`, `iwae`, `nvil`, `vimco` |
| log q at draws held fixed | `traced.guide_scores(latents)` | log q whose gradient is the score alone | `stl`, `dreg`, `piwae`, `rws`, `wake-sleep` |
| the closed form of a KL | `traced.site_kl(name)` | KL(q || p) where it is registered and right | `meanfield` |
| the pair at other latents, all noise as it was | `core.rescore.at(traced, guide, latents)` | a trace of the values given, later sites moved by their own noise | control variates |
| log q(z_b given x_b') | `core.aggregate.cross_scores`, `aggregate_scores` | (K, B, B', d), or the mixture's log density, a few rows at a time | `tc` |
| a site's mean, variance and location | `core.rescore.moments(traced, name)` | (B, *event) each | penalties of moments |
| draws of the model's own prior | `self.prior(given)` | every site of the model on its own draws, (K, B), also of priors without a density | `aae`, `rws`, `wake-sleep` |
| a second, independent batch | `num_batches = 2`, `given.batches[1]` | rows in an order of their own | `factor` |
| N | `given.data_size` | the number of training data | `tc` |
| parameters of its own | `build(traced)`, `self.networks` | made once, moved by updates of the group "objective" | `aae`, `factor`, `nvil` |
| buffers that move without a gradient | `return {buffer: value}`, `traced.next_state()` | written after the last update if all was finite | `nvil`, `vimco` |
| a value for each option at this step | `given.schedule` | 0-d tensors, logged under the option's name | all with weights |
| the gradients themselves | `given.params[update]` | the parameters that an update moves | control variates |
| the steps of a sequence, particles resampled between them | `core.step_run.trace_steps(..., between)` | scores summed over t under the plain site name | `fivo` |

What a pair cannot give is refused before training, by the site's name and with the mend. Everything runs eagerly, in one compiled
graph and over a kill; in several processes all but objectives whose batch is more than its rows (`separable` below) or that return
buffers.

## Who moves what

"Pair" is all parameters of the model and the guide, and of the objective where it has some.

| objective | bound | updates and what they move | batches | batch is more than its rows | weights that may be scheduled |
|---|---|---|---|---|---|
"""


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
    """The page."""
    return TEXT + "\n".join(map(row, OBJECTIVES)) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
