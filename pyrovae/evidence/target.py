"""A pair on a batch as densities of one flat, unconstrained vector a datum: what annealing, HMC and bridges work on.

The continuous latent sites, several, dependent, constrained, are packed as u, (K, B, D), z = T(u) by a bijection from the
reals onto the set where each site has its mass, whose log |dT/du| every density here includes. Discrete sites are summed out
exactly. Masks on latent sites are left out, in both programs: where x does not depend on what is masked, the integral is the
same, and no axis is left without a density.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from pyro import poutine
from pyro.poutine.messenger import Messenger
from pyro.poutine.util import site_is_subsample
from torch import Tensor
from torch.distributions.transforms import Transform, identity_transform

from pyrovae.core.contract import find_non_finite
from pyrovae.core.enumeration import is_enumerable
from pyrovae.core.inference import private_random
from pyrovae.core.layout import settle_particles
from pyrovae.core.program import Program, batch_size
from pyrovae.core.sites import Site, sample_sites, unobserved_parts, without_mask
from pyrovae.core.sum_product import sum_out
from pyrovae.core.trace import PairTrace, latents_trace, run_program
from pyrovae.distributions.density import log_density
from pyrovae.distributions.supports import from_reals, inside, is_discrete, true_support
from pyrovae.errors import ContractError, NonFiniteError

__all__ = ["Densities", "Target"]


DRAWS_FOR_ENDS, MAX_SHARE_AT_ENDS = 2000, 2e-3  # draws that tell the share of p(x) that is lost, and what may be
TINY = torch.finfo(torch.float32).tiny  # which torch puts in the place of positive draws that are smaller


class Densities(NamedTuple):
    """Log densities at u, (K, B) each, in nats; those of z = T(u) with log |dT/du| added.

    ``prior`` is log p(z), ``likelihood`` log p(x, z) - log p(z), ``guide`` log q(z | x) or None where it was not asked for;
    discrete sites are summed out of all three.
    """

    prior: Tensor
    likelihood: Tensor
    guide: Tensor | None


class Target:
    """p(z), p(x, z) and q(z | x) of a pair on a batch of B data, as functions of u, (K, B, D).

    Args:
        model, guide: the two programs.
        batch: tensors with a first dimension of B.
        max_rows: the most draws x data in one pass of :meth:`draw`; the densities take what they are given.

    Raises:
        ContractError: a latent site is discrete and cannot be enumerated, or its support has no transform.

    >>> from pyrovae import pairs, data
    >>> pair = pairs.vae(data.DataSpec("toy", (4,), "real"), latent_dim=2)
    >>> target = Target(pair.model, pair.guide, {"x": torch.randn(3, 4)})
    >>> target.densities(target.draw(5)).prior.shape
    torch.Size([5, 3])
    """

    def __init__(self, model: Program, guide: Program, batch: Mapping[str, Tensor], max_rows: int = 5000) -> None:
        self.model, self.guide, self.batch, self.size = model, guide, batch, batch_size(batch)
        self.max_rows, self.chunk = max_rows, max(1, max_rows // self.size)
        self.passes = 0  # of the model, for each datum
        self.rows = settle_particles(model, guide, batch)
        sites = _latent_sites(run_program(guide, batch))
        # what the model alone draws stands in none of the densities: it sums to one
        self.own = unobserved_parts(sample_sites(run_program(model, batch))) - sites.keys()
        # a single continuous site's distribution depends on no draw, so the encoder runs once for all K and T
        first = next(iter(sites.values()), None)
        self.only_site = first if first is not None and len(sites) == 1 and not _is_discrete(first) else None

    def densities(self, u: Tensor, guide: bool = False) -> Densities:
        """All densities at u from one pass of the model, differentiable in u."""
        shape = (u.shape[0], self.size)
        values = _Values(u, self.rows, self.own)
        trace = self._run(shape[0], values=values)
        traced = PairTrace(trace, poutine.Trace(), shape)
        latents = [name for name, site in traced.model_sites.items() if not (site["is_observed"] or name in self.own)]
        prior = traced.marginal(latents)
        observed = (
            traced.marginal([*latents, *traced.observed]) - prior if traced.summed_out else traced.marginal(traced.observed)
        )
        jacobian = values.log_jacobian(shape, u)
        log_guide = self._log_guide(values.latents, shape) + jacobian if guide else None
        return Densities(prior + jacobian, observed, log_guide)

    def _log_guide(self, latents: Mapping[str, Tensor], shape: tuple[int, int]) -> Tensor:
        """log q(z | x), (K, B), -inf outside the guide's support."""
        try:
            if self.only_site is not None:
                return _score(without_mask(self.only_site), latents[self.only_site["name"]]).expand(shape)
            replay = latents_trace(latents)
            trace = run_program(self.guide, self.batch, shape[0], replay=replay, enumerated="anew", marks=_Discrete(set()))
            sites = {name: without_mask(site) for name, site in _latent_sites(trace).items()}
            return sum_out({n: _score(s, s["value"]) for n, s in sites.items()}, sites, shape).expand(shape)
        except NotImplementedError as error:
            raise ContractError(
                f"the guide's site {' or '.join(map(repr, latents))} cannot score draws that are not its own ({error}); start "
                "from the prior, or use method 'importance' without defensive."
            ) from error

    def draw(self, num_particles: int, start: str = "prior") -> Tensor:
        """u of z ~ p(z), or z ~ q(z | x) with ``start="guide"``, (K, B, D)."""
        if num_particles > self.chunk:
            sizes = [min(self.chunk, num_particles - done) for done in range(0, num_particles, self.chunk)]
            return torch.cat([self.draw(size, start) for size in sizes])
        if start == "prior":
            return self._pack(self._run(num_particles))
        latents = {n: s["value"] for n, s in _latent_sites(run_program(self.guide, self.batch, num_particles)).items()}
        return self.pack(latents)

    def pack(self, latents: Mapping[str, Tensor]) -> Tensor:
        """u of given values of the latent sites, (K, B, *event) each."""
        k = next((len(value) for value in latents.values()), 1)
        return self._pack(self._run(k, latents_trace(latents)))

    def _run(self, num_particles: int, replay: poutine.Trace | None = None, values: _Values | None = None) -> poutine.Trace:
        self.passes += num_particles
        summed = {} if values is None else {"enumerated": "anew", "marks": _Discrete(self.own), "values": values}
        return run_program(self.model, self.batch, num_particles, replay=replay, **summed)  # type: ignore[arg-type]

    def _pack(self, trace: poutine.Trace) -> Tensor:
        parts = []
        for name, site in _latent_sites(trace).items():
            if name in self.own:
                continue
            if _is_discrete(site):
                _refuse_endless(site)
                continue
            value, transform = site["value"], _transform(site)
            lies = inside(site["fn"], value)
            u = transform.inv(value).flatten(2) if value.dim() > 2 else transform.inv(value).unsqueeze(-1)
            if not bool(torch.isfinite(u).all()) or (lies is not None and not bool(lies.all())):
                raise ContractError(
                    f"draws of site {name!r} leave the support {true_support(site['fn'])} that it has in the model (values "
                    f"from {float(value.min()):g} to {float(value.max()):g}); give the guide a distribution on that support, "
                    "start from the prior, or use method 'importance', whose weights are zero there."
                )
            parts.append(u)
        if parts:
            return torch.cat(parts, -1)
        drawn: Tensor = next(iter(sample_sites(trace).values()))["value"]
        return drawn.new_zeros(drawn.shape[0] if drawn.dim() > 1 else 1, self.size, 0, dtype=torch.get_default_dtype())

    def refuse_ends(self, start: str) -> None:
        """ContractError where a share of the draws of f_0 lies where float32 ends, beyond which a site's mass is lost.

        There z = T(u) no longer moves with u, as at 1 - 6e-8 in (0, 1).
        """
        sites = _latent_sites(run_program(self.model, self.batch, 1)).values()
        if all(_is_discrete(site) or _transform(site) == identity_transform for site in sites):
            return
        passes, device = self.passes, next(iter(self.batch.values())).device
        with private_random(0, device):
            u = self.draw(-(-DRAWS_FOR_ENDS // self.size), start)
        here, down, up = (self._values(u + step) for step in (0.0, -1.0, 1.0))
        self.passes = passes
        for name, value in here.items():
            stuck = (value == down[name]) | (value == up[name]) | (value.abs() <= TINY)
            share = float(stuck.flatten(2).any(-1).float().mean() if stuck.dim() > 2 else stuck.float().mean())
            if share > MAX_SHARE_AT_ENDS:
                raise ContractError(
                    f"{share:.1%} of the {start}'s draws of site {name!r} lie where float32 ends (values from "
                    f"{float(value.min()):g} to {float(value.max()):g}), and the mass beyond is lost to this method; give the "
                    "site a distribution with less mass at the ends of its support, or use method 'importance'."
                )

    def _values(self, u: Tensor) -> dict[str, Tensor]:
        """The continuous latent sites' values at u."""
        values = _Values(u, self.rows, self.own)
        self._run(u.shape[0], values=values)
        return values.latents

    def refuse_non_finite(self, u: Tensor) -> None:
        """NonFiniteError that names the site and row where a log density at u is NaN."""
        trace = self._run(u.shape[0], values=_Values(u, self.rows, self.own))
        message = find_non_finite(PairTrace(trace, poutine.Trace(), (u.shape[0], self.size)))
        raise NonFiniteError(message or "the log density of the guide is nan at draws of the model; look at the guide.")


class _Discrete(Messenger):
    """Has the discrete latent sites enumerated, but for some."""

    def __init__(self, own: set[str]) -> None:
        super().__init__()
        self.own = own

    def _pyro_sample(self, msg: Any) -> None:
        if not (msg["is_observed"] or site_is_subsample(msg) or msg["name"] in self.own) and _is_discrete(msg):
            _refuse_endless(msg)
            msg.update(without_mask(msg))
            msg["infer"] = {**msg["infer"], "enumerate": "parallel"}


class _Values(Messenger):
    """Gives continuous latent sites their values from u, (K, B, D), in K B rows where the program takes particles so."""

    def __init__(self, u: Tensor, rows: bool, own: set[str]) -> None:
        super().__init__()
        self.own = own
        self.u, self.shape, self.used = u.flatten(0, 1) if rows else u, u.shape[:2], 0
        self.latents: dict[str, Tensor] = {}
        self.jacobians: list[Tensor] = []

    def _pyro_sample(self, msg: Any) -> None:
        if msg["is_observed"] or site_is_subsample(msg) or _is_discrete(msg) or msg["name"] in self.own:
            return
        msg.update(without_mask(msg))
        z, jacobian = self._take(msg)
        self.jacobians.append(jacobian.reshape(self.shape))
        self.latents[msg["name"]] = z.reshape(*self.shape, *msg["fn"].event_shape)
        msg["value"], msg["done"] = z, True

    def _take(self, site: Site) -> tuple[Tensor, Tensor]:
        """A site's value, (*lead, *event), from the next dimensions of u, and log |dT/du|, (*lead)."""
        lead = len(self.u.shape) - 1
        transform, shape = _transform(site), torch.Size((*self.u.shape[:-1], *site["fn"].event_shape))
        inner = transform.inverse_shape(shape)
        if transform.forward_shape(inner) != shape:  # the transform's own parameters have more dimensions
            raise ContractError(
                f"the support of site {site['name']!r} depends on an enumerated site, whose values would need draws of their "
                "own; use method 'importance'."
            )
        size = inner[lead:].numel()
        u = self.u[..., self.used : self.used + size].reshape(inner)
        self.used += size
        z = transform(u)
        jacobian = transform.log_abs_det_jacobian(u, z)
        return z, jacobian.flatten(lead).sum(lead) if jacobian.dim() > lead else jacobian

    def log_jacobian(self, shape: tuple[int, int], u: Tensor) -> Tensor:
        return sum(self.jacobians, u.new_zeros(shape))


def _latent_sites(trace: poutine.Trace) -> dict[str, Site]:
    return {name: site for name, site in sample_sites(trace).items() if not site["is_observed"]}


def _is_discrete(site: Site) -> bool:
    return is_discrete(site["fn"])


def _refuse_endless(site: Site) -> None:
    if not is_enumerable(site["fn"]):
        raise ContractError(
            f"latent site {site['name']!r} ({site['fn']}) is discrete and cannot be enumerated, so this method, which moves "
            "through continuous latents, cannot sum it out; use method 'importance', or declare a site of few values."
        )


def _transform(site: Site) -> Transform:
    try:
        return from_reals(site["fn"])
    except NotImplementedError as error:
        raise ContractError(
            f"site {site['name']!r} ({type(site['fn']).__name__}) has a support to which there is no bijection from the reals "
            f"({str(error) or 'it declares none'}); use method 'importance'."
        ) from error


def _score(site: Site, value: Tensor) -> Tensor:
    score, lies = log_density(site["fn"], value), inside(site["fn"], value)
    return score if lies is None else torch.where(lies, score, -torch.inf)
