"""The set where a distribution has its mass: densities integrate to one over it, draws lie in it."""

from __future__ import annotations

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch.distributions import ContinuousBernoulli, FisherSnedecor, Kumaraswamy, biject_to

import pyrovae as pv
from pyrovae.distributions.supports import from_reals, inside, true_support
from pyrovae.errors import ContractError

T = dist.transforms
TWO = torch.tensor([-1.0, 1.0])
EVEN = dist.Categorical(torch.ones(2))
AFFINE = T.AffineTransform(2.0, -3.0)


def tensor(value):
    return torch.tensor(value)


MISDECLARED = {  # torch and Pyro declare the reals for the first five, and no transform knows the constraint of mixtures
    "angle": dist.VonMises(0.5, 2.0),
    "shifted angle": dist.TransformedDistribution(dist.VonMises(0.0, 1.0), [AFFINE]),
    "shifted exponential": dist.TransformedDistribution(dist.Exponential(1.0), [AFFINE]),
    "shifted beta": dist.TransformedDistribution(dist.Beta(2.0, 3.0), [AFFINE]),
    "shifted logistic-normal": dist.TransformedDistribution(dist.Normal(0.0, 1.0), [T.SigmoidTransform(), AFFINE]),
    "mixture": dist.MixtureSameFamily(EVEN, dist.Normal(TWO, 0.5)),
    "mixture of gammas": dist.MixtureSameFamily(EVEN, dist.Gamma(tensor([1.0, 4.0]), 1.0)),
    "mixture of angles": dist.MixtureSameFamily(EVEN, dist.VonMises(TWO, 3.0)),
}
DECLARED = [
    *(dist.Beta(2.0, 3.0), dist.Gamma(2.0, 3.0), dist.Exponential(2.0), dist.HalfNormal(1.0), dist.HalfCauchy(1.0)),
    *(dist.Pareto(tensor(1.0), tensor(2.0)), dist.Weibull(2.0, 1.5), Kumaraswamy(tensor(2.0), tensor(1.5))),
    *(dist.LogNormal(0.0, 1.0), dist.Uniform(1.0, 3.0), dist.InverseGamma(2.0, 3.0), dist.StudentT(4.0), dist.Chi2(3.0)),
    *(dist.FoldedDistribution(dist.Normal(0.5, 1.0)), dist.AffineBeta(2.0, 3.0, 1.0, 4.0), dist.Laplace(0.0, 1.0)),
    *(dist.Logistic(0.0, 1.0), dist.Gumbel(0.0, 1.0), dist.AsymmetricLaplace(0.0, 1.0, 2.0), dist.SoftLaplace(0.0, 1.0)),
    *(dist.SkewLogistic(0.0, 1.0, 2.0), ContinuousBernoulli(tensor(0.3)), FisherSnedecor(tensor(4.0), tensor(5.0))),
    *(dist.RelaxedBernoulli(tensor(0.5), tensor(0.3)), dist.TruncatedPolyaGamma(tensor(1.0)), dist.Normal(0.0, 1.0)),
]


def mass(fn, transform):
    """The integral of the density over the reals that the transform bends onto its support."""
    u = torch.linspace(-80, 80, 100_001, dtype=torch.float64)
    z = transform(u)
    inner = fn
    while inner is not None:
        inner._validate_args, inner = False, getattr(inner, "base_dist", None)
    score = fn.log_prob(z) + transform.log_abs_det_jacobian(u, z)
    return float(score.nan_to_num(-math.inf).exp().sum() * 160 / 100_000)


@pytest.mark.parametrize("name", MISDECLARED)
def test_where_another_support_is_declared_the_true_one_has_the_mass(name):
    fn = MISDECLARED[name]
    assert mass(fn, from_reals(fn)) == pytest.approx(1, abs=1e-3)
    assert inside(fn, fn.sample((1000,))) is None or inside(fn, fn.sample((1000,))).all()
    if name in ("angle", "shifted angle", "shifted exponential"):  # what a move on the declared reals takes for the density
        assert mass(fn, biject_to(fn.support)) > 5


def test_all_that_is_declared_rightly_keeps_its_support():
    for fn in DECLARED:
        assert true_support(fn) is fn.support or repr(true_support(fn)) == repr(fn.support), fn
        assert mass(fn, from_reals(fn)) == pytest.approx(1, abs=2e-3), fn


def test_values_beyond_the_support_are_told_in_every_shape():
    value = torch.tensor([[-1.0, 0.5], [1.0, 0.5]])
    assert inside(dist.Exponential(torch.ones(2)).to_event(1), value).tolist() == [False, True]
    assert inside(dist.Normal(torch.zeros(2), 1.0).to_event(1), value) is None
    assert inside(dist.VonMises(torch.zeros(2), 1.0).to_event(1), 4 * value).tolist() == [False, False]
    near = torch.full((100,), 0.01) + 3e-7  # a draw in float32 may miss the simplex by more than torch allows
    assert inside(dist.Dirichlet(torch.ones(100)), near) and not inside(dist.Dirichlet(torch.ones(100)), near + 0.01)
    masked = dist.Gamma(torch.ones(2), 1.0).mask(torch.tensor([True, False])).to_event(1)
    assert inside(masked, value).tolist() == [False, True]
    uneven = dist.MixtureSameFamily(EVEN, dist.Uniform(torch.zeros(2), tensor([1.0, 2.0])))
    with pytest.raises(NotImplementedError, match="supports of their own"):
        true_support(uneven)


class Undeclared(dist.TorchDistribution):
    """N(loc, 1) that declares no support."""

    arg_constraints = {}
    has_rsample = True

    def __init__(self, loc):
        self.loc = loc
        super().__init__(loc.shape, torch.Size(), validate_args=False)

    def expand(self, batch_shape, _instance=None):
        return Undeclared(self.loc.expand(batch_shape))

    def rsample(self, sample_shape=()):
        return self.loc + torch.randn(self._extended_shape(torch.Size(sample_shape)))

    def log_prob(self, value):
        return dist.Normal(self.loc, 1.0).log_prob(value)


def test_a_distribution_that_declares_no_support_is_weighed_and_not_moved_through():
    def model(x):
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", Undeclared(x.new_zeros(len(x))))
            pyro.sample("x", dist.Normal(z.unsqueeze(-1), 1.0).to_event(1), obs=x)

    def guide(x):
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", Undeclared(0.5 * x[:, 0]))

    x = torch.tensor([[0.3], [-1.0]])
    evidence = pv.log_evidence((model, guide), x, num_samples=2000)
    assert ((evidence.value - dist.Normal(0.0, 2**0.5).log_prob(x[:, 0])) / evidence.stderr).abs().max() < 4
    with pytest.raises(ContractError, match=r"site 'z' \(Undeclared\) has a support .* \(it declares none\); use method 'imp"):
        pv.log_evidence((model, guide), x, method="ais")
