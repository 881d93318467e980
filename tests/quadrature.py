"""Integrals over smoothed bits: many points of r(zeta | z), and few that integrate polynomials exactly."""

from __future__ import annotations

import itertools
import math

import numpy as np
import torch


def points_of(smoothing, num=400):
    """Points and weights, in float64, by which r(. | 0) and r(. | 1) are integrated, atoms first."""
    t, w = (torch.from_numpy(each) for each in np.polynomial.legendre.leggauss(num))
    if "Gaussian" in type(smoothing).__name__:
        points, weights = 0.5 + 4 * t, 4 * w
    elif len(smoothing.atoms) == 2:  # in the logit, towards the ends
        end = math.log((1 - smoothing.atoms[0]) / smoothing.atoms[0])
        points = (end * t).sigmoid()
        weights = end * w * points * (1 - points)
    else:
        points, weights = 0.5 + 0.5 * t, 0.5 * w
    atoms = torch.tensor(smoothing.atoms, dtype=torch.float64)
    return torch.cat([atoms, points]), torch.cat([torch.ones_like(atoms), weights])


def gauss(points, mass, num):
    """Points and masses, num or fewer, with the moments of a distribution up to 2 num - 1, by Stieltjes' procedure."""
    points, mass = points[mass > 0].numpy(), (mass[mass > 0] / mass.sum()).numpy()
    before, now, diagonal, beside = np.zeros_like(points), np.ones_like(points), [], []
    for _ in range(min(num, len(points))):
        norm = (mass * now**2).sum()
        diagonal.append((mass * points * now**2).sum() / norm)
        beside.append(norm)
        last = beside[-1] / beside[-2] if len(beside) > 1 else 0.0
        before, now = now, (points - diagonal[-1]) * now - last * before
    off = np.sqrt([b / a for a, b in itertools.pairwise(beside)])
    found, vectors = np.linalg.eigh(np.diag(diagonal) + np.diag(off, 1) + np.diag(off, -1))
    return torch.from_numpy(found), torch.from_numpy(vectors[0] ** 2)


def of_a_bit(smoothing, num):
    """z, zeta, and the mass of r(zeta | z) at few points, (3, P)."""
    points, weights = points_of(smoothing)
    rows = []
    for z, log_r in ((0.0, smoothing.log_zero), (1.0, smoothing.log_one)):
        found, mass = gauss(points, log_r(points).exp() * weights, num)
        rows.append(torch.stack([torch.full_like(found, z), found, mass]))
    return torch.cat(rows, 1)


def of_a_group(smoothing, size, num):
    """z and zeta of several bits, (P, n) each, and the logarithms of the masses of zeta given z, (P,)."""
    bit = of_a_bit(smoothing, num)
    index = torch.cartesian_prod(*[torch.arange(bit.shape[1])] * size).reshape(-1, size)
    z, zeta, mass = (row[index] for row in bit)
    return z, zeta, mass.log().sum(-1)
