"""What the contract's check learned of a pair's sites."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from pyrovae.core.divergence import site_kl
from pyrovae.core.messages import no_density
from pyrovae.core.sites import Site, family_name, is_reparameterized
from pyrovae.core.steps import plain_name
from pyrovae.core.trace import PairTrace
from pyrovae.distributions.density import is_factor

__all__ = ["Report", "SiteReport", "report_sites"]


@dataclass(frozen=True)
class SiteReport:
    """What :func:`check` learned of one site."""

    name: str
    kind: str  # latent, observed, factor, or summed out (a site that only the model has, enumerated)
    shape: tuple[int, ...]
    distribution: str
    reparameterized: bool
    analytic_kl: bool
    enumerated: bool = False
    steps: int = 0  # how many sites it stands for, of a pair in steps


@dataclass(frozen=True)
class Report:
    """The sites of a pair that passed :func:`check`."""

    sites: list[SiteReport] = field(default_factory=list)
    is_density: bool = True
    has_bound: bool = True  # whether an ELBO of the pair is a bound on log p(x)
    rows: bool = False  # whether K particles are K B rows of the programs
    notes: tuple[str, ...] = ()
    model_is_density: bool = True

    def side_of(self, objective: Any) -> str:
        """On which side of log p(x) what an objective reports lies: its own, or none where the pair lacks the densities."""
        of_draws = self.model_is_density and not getattr(objective, "scores_guide", True)  # which asks the guide for no more
        side: str = getattr(objective, "bound", "lower")
        return side if self.has_bound or of_draws else "none"

    def __str__(self) -> str:
        lines = []
        for site in self.sites:
            notes = [site.distribution]
            if site.kind == "latent":
                drawn = "reparameterized" if site.reparameterized else "sampled, score-function gradient"
                kl = "analytic KL" if site.analytic_kl else "sampled KL"
                point = site.distribution == "Delta"
                without = "a point, no density" if point else "drawn without a density"
                implicit = site.distribution == "Implicit"
                notes += [without] if point or implicit else ["enumerated" if site.enumerated else drawn, kl]
            each = f" at each of {site.steps} steps" if site.steps else ""
            lines.append(f"{site.kind} {site.name} {site.shape}{each}: {', '.join(notes)}")
        return "\n".join([*lines, *(["particles as rows"] if self.rows else []), *self.notes])


def _kind(site: Site, shared: bool) -> str:
    if is_factor(site["fn"]):
        return "factor"
    return "observed" if site["is_observed"] else "latent" if shared else "summed out"


def _one_for_all_steps(sites: list[SiteReport]) -> list[SiteReport]:
    """The sites of a pair in steps by their plain names, where those of all steps are alike; else as they are."""
    plain: dict[str, list[SiteReport]] = {}
    for site in sites:
        plain.setdefault(plain_name(site.name), []).append(replace(site, name=plain_name(site.name)))
    if any(site != alike[0] for alike in plain.values() for site in alike):
        return sites
    return [replace(alike[0], steps=len(alike) if name not in {s.name for s in sites} else 0) for name, alike in plain.items()]


def report_sites(traced: PairTrace, rows: bool = False, notes: tuple[str, ...] = (), in_steps: bool = False) -> Report:
    """The sites of a pair's trace, in the model's order; ``rows`` and ``notes`` as of :class:`Report`.

    Those of a pair ``in_steps`` stand once for all steps.
    """
    sites = []
    for name, site in traced.model_sites.items():
        shared = name in traced.guide_sites
        drawn = traced.guide_sites[name] if shared else site
        analytic = False
        if shared:
            try:
                site_kl(drawn, site)
                analytic = True
            except NotImplementedError:
                analytic = False
        sites.append(
            SiteReport(
                name,
                _kind(site, shared),
                tuple(site["fn"].event_shape),
                family_name(drawn),
                is_reparameterized(drawn),
                analytic,
                drawn["infer"].get("enumerate") == "parallel",
            )
        )
    is_density, shown = no_density(traced) is None, _one_for_all_steps(sites) if in_steps else sites
    of_model = no_density(traced, model_only=True) is None
    return Report(shown, is_density, is_density and traced.guide_factors is None, rows, notes, of_model)
