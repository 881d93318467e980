"""Why a pair cannot be used as asked, in one sentence; None where it can."""

from __future__ import annotations

import torch

from pyrovae.core.program import Program, describe
from pyrovae.core.sites import family_name, sample_sites, site_masks, unobserved_parts
from pyrovae.core.trace import PairTrace
from pyrovae.distributions.density import is_density, is_factor, is_only_drawn
from pyrovae.distributions.implicit import is_implicit
from pyrovae.distributions.shared import is_of_shared

__all__ = ["masks_differ", "mismatch_message", "no_density", "observes_nothing"]

ENERGIES = {"StructuralSimilarity": "to an image, which nothing normalizes"}  # why they are none, where it is not their values


def no_density(traced: PairTrace, latent_only: bool = False, model_only: bool = False) -> str | None:
    """Why the pair has no log p(x): its first site that is a point or an energy; None where all are densities.

    Of the guide's sites nothing is asked with ``model_only``, of the observed ones nothing with ``latent_only``.
    """
    for name, site in traced.guide_sites.items():
        if is_implicit(site["fn"]) and not model_only:
            return (
                f"latent site {name!r} of the guide is drawn by a network of noise, without a density, so that there are no "
                "weights p(x, z) / q(z | x); estimate log p(x) by annealing from the prior, method='ais', start='prior'."
            )
        if not is_density(site["fn"]) and not model_only:
            return (
                f"latent site {name!r} of the guide is a point and no density (a deterministic encoder), so the pair has no "
                "weights p(x, z) / q(z | x) and no log p(x); relax it to a Gaussian around the encoder, as the autoencoders' "
                "recipes do with relax=0.1, or train a VAE."
            )
    for name, site in traced.model_sites.items():
        if is_only_drawn(site["fn"]) and not site["is_observed"]:
            return (
                f"latent site {name!r} of the model ({family_name(site)}) is only drawn from, without a density, so the pair "
                "has no log p(x); give the distribution a log_prob, or train with 'aae', which asks for draws alone."
            )
        if is_of_shared(site["fn"]) and not latent_only:
            return (
                f"site {name!r} is about points that all data share, which have a prior of their own, so that a datum has no "
                "density without the others and the pair no log p(x); train it by objective 'map', and hold it against others "
                "by its error on data that it has not seen."
            )
        if not is_density(site["fn"]) and not site["is_observed"]:
            return f"latent site {name!r} has no prior density in the model, so the pair has no log p(x); give it one."
        if is_factor(site["fn"]) and not latent_only:
            return (
                f"site {name!r} is a factor (pyro.factor), a term of the log density without a normalizer, so the pair has no "
                "log p(x); write it as the distribution of a site."
            )
        if not is_density(site["fn"]) and not latent_only:
            why = ENERGIES.get(family := family_name(site), "of grey pixels, or of other values than it draws")
            return (
                f"site {name!r} is an energy ({family} {why}), not a density, so the pair has no log p(x); binarize the data, "
                "or use likelihood 'continuous-bernoulli', 'gaussian' or 'discretized-logistic'."
            )
    return None


def observes_nothing(model: Program, traced: PairTrace) -> str:
    """The message for a model without an observed site."""
    swapped = any(site["is_observed"] for site in sample_sites(traced.guide).values())
    hint = ", or swap the two programs: a pair is (model, guide)" if swapped else ""
    return f"{describe(model)} observes nothing; give a site obs=x{hint}."


def mismatch_message(model: Program, guide: Program, traced: PairTrace) -> str | None:
    """The message for a model that observes nothing, or latent sites that only one program has; None when the names match."""
    if not traced.observed:
        return observes_nothing(model, traced)
    sites = {name: site for name, site in traced.model_sites.items() if not site["is_observed"]}
    alone = unobserved_parts(traced.model_sites) - traced.guide_sites.keys()
    sites = {name: site for name, site in sites.items() if name not in alone}
    latent = {n for n, s in sites.items() if n in traced.guide_sites or s["infer"].get("enumerate") != "parallel"}
    for names, who, other in (
        (latent - traced.guide_sites.keys(), model, guide),
        (traced.guide_sites.keys() - latent, guide, model),
    ):
        if names:
            name = sorted(names)[0]
            there = sorted(traced.guide_sites if who is model else latent) or ["none"]
            return (
                f"latent site {name!r} of {describe(who)} has no counterpart in {describe(other)}, whose latent sites are "
                f"{', '.join(there)}; give the site the same name in both programs."
            )
    return None


def masks_differ(traced: PairTrace) -> str | None:
    """The message for a latent site that one program masks where the other does not; None where the masks are the same."""
    for name, site in traced.guide_sites.items():
        if name not in traced.model_sites:
            continue
        masks = [site_masks(sites[name]) for sites in (traced.guide_sites, traced.model_sites)]
        if not any(masks):
            continue
        everywhere = torch.ones_like(site["value"], dtype=torch.bool)
        first, second = (torch.stack(torch.broadcast_tensors(everywhere, *each)).all(0) for each in masks)
        if not torch.equal(*torch.broadcast_tensors(first, second)):
            own, other = (float((~mask).float().mean()) for mask in (first, second))
            return (
                f"latent site {name!r} is masked in one program where it is not in the other ({own:.0%} of its values in the "
                f"guide, {other:.0%} in the model), so that p(x, z) / q(z | x) has no meaning there; put the same mask on it "
                "in both."
            )
    return None
