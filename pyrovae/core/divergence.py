"""The KL divergence of a latent site of the guide from that of the model, masks applied."""

from __future__ import annotations

import torch
from torch import Tensor

from pyrovae.core.sites import Site, site_masks
from pyrovae.distributions.density import unmasked
from pyrovae.distributions.divergence import analytic_kl

__all__ = ["site_kl"]


def site_kl(guide: Site, model: Site) -> Tensor:
    """E_q[m_q log q(z) - m_p log p(z)], (K, B), in closed form; m_q and m_p, the sites' masks, are 0 where they score nothing.

    Raises:
        NotImplementedError: there is no closed form, or a mask cuts through an event or differs from the other's.
    """
    masks = [_rows(site) for site in (guide, model)]
    kl = analytic_kl(unmasked(guide["fn"]), unmasked(model["fn"]))
    if all(mask is None for mask in masks):
        return kl
    q, p = (torch.ones((), dtype=torch.bool, device=kl.device) if mask is None else mask for mask in masks)
    own, other = (site["fn"] for site in (guide, model))
    log_q, log_p = unmasked(own).log_prob(guide["value"]), unmasked(other).log_prob(model["value"])
    zero = kl.new_zeros(())
    return torch.where(q & p, kl, torch.where(q, log_q, zero) - torch.where(p, log_p, zero))


def _rows(site: Site) -> Tensor | None:
    """The site's mask of whole data, (B,) or (K, B); None where it has none."""
    masks, event_dim = site_masks(site), site["fn"].event_dim
    if any(size != 1 for mask in masks for size in mask.shape[mask.dim() - event_dim :]):
        raise NotImplementedError("a mask cuts through an event")
    rows = None
    for mask in masks:
        mask = mask.flatten(mask.dim() - event_dim).squeeze(-1) if event_dim else mask
        rows = mask if rows is None else rows & mask
    return rows
