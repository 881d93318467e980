"""What the contract's check learned of a pair's sites."""

from __future__ import annotations

from dataclasses import dataclass, field

from pyro.distributions import MaskedDistribution
from torch.distributions import Independent

from pyrovae.core.divergence import site_kl
from pyrovae.core.messages import no_density
from pyrovae.core.sites import Site, is_reparameterized
from pyrovae.core.trace import PairTrace

__all__ = ["Report", "SiteReport", "family_name", "report_sites"]


@dataclass(frozen=True)
class SiteReport:
    """What :func:`check` learned of one site."""

    name: str
    kind: str  # latent, observed, or summed out (a site that only the model has, enumerated)
    shape: tuple[int, ...]
    distribution: str
    reparameterized: bool
    analytic_kl: bool
    enumerated: bool = False


@dataclass(frozen=True)
class Report:
    """The sites of a pair that passed :func:`check`."""

    sites: list[SiteReport] = field(default_factory=list)
    is_density: bool = True

    def __str__(self) -> str:
        lines = []
        for site in self.sites:
            notes = [site.distribution]
            if site.kind == "latent":
                drawn = "reparameterized" if site.reparameterized else "sampled, score-function gradient"
                kl = "analytic KL" if site.analytic_kl else "sampled KL"
                point = site.distribution == "Delta"
                notes += ["a point, no density"] if point else ["enumerated" if site.enumerated else drawn, kl]
            lines.append(f"{site.kind} {site.name} {site.shape}: {', '.join(notes)}")
        return "\n".join(lines)


def family_name(site: Site) -> str:
    """The name of the distribution that a site draws from, under what reshapes it."""
    fn = site["fn"]
    while isinstance(fn, (Independent, MaskedDistribution)):
        fn = fn.base_dist
    return type(fn).__name__


def report_sites(traced: PairTrace) -> Report:
    """The sites of a pair's trace, in the model's order."""
    sites = []
    for name, site in traced.model_sites.items():
        latent = not site["is_observed"]
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
                "observed" if not latent else "latent" if shared else "summed out",
                tuple(site["fn"].event_shape),
                family_name(drawn),
                is_reparameterized(drawn),
                analytic,
                drawn["infer"].get("enumerate") == "parallel",
            )
        )
    return Report(sites, no_density(traced) is None)
