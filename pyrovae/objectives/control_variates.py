"""Unbiased gradients of discrete sites by the pair at other values of them: REBAR, RELAX and ARM."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pyrovae.core.aggregate import refuse_dependent
from pyrovae.core.layout import settle_particles
from pyrovae.core.run import replay_trace
from pyrovae.core.trace import PairTrace, run_program, trace_pair
from pyrovae.distributions.supports import is_discrete
from pyrovae.effects.relaxed import Relaxation, Relaxed, RelaxedBernoulli, RelaxedOneHot, relax
from pyrovae.errors import ContractError, OptionError
from pyrovae.objectives import bounds
from pyrovae.objectives.objective import Given, Objective, Update, Updates

__all__ = ["ARM", "REBAR", "RELAX"]

Soft = RelaxedBernoulli | RelaxedOneHot
Values = Mapping[str, Tensor]


class AtOtherValues(Objective):
    """An ELBO whose gradient needs the pair at several values of its discrete sites, run side by side as particles.

    Attributes:
        copies: how many values a draw has.
    """

    copies = 2
    relaxes = True

    def trace(self, given: Given, batch: int = 0) -> PairTrace:
        """The hard pair's trace; refuses discrete sites that depend on one another, and pairs that have none."""
        traced = super().trace(given, batch)
        names = [name for name, site in traced.guide_sites.items() if is_discrete(site["fn"])]
        if not names:
            raise ContractError(f"no latent site of the guide is discrete, so {self!r} has nothing to do: use 'elbo'.")
        for name in names:
            relax(
                innermost_of(traced.guide_sites[name]["fn"]), Relaxation("straight-through", 1.0, 1.0), 1.0, name
            )  # or refuses
        if traced.enumerated or traced.summed_out:
            name = [*traced.enumerated, *traced.summed_out][0]
            raise ContractError(f"site {name!r} is enumerated, and {self!r} draws it; take the mark off, or use 'elbo'.")
        try:
            refuse_dependent(traced, names)
        except ContractError:
            raise ContractError(
                f"sites {', '.join(names)} of the guide depend on one another's draws, and {self!r} moves them at once; use "
                "'vimco' or 'nvil'."
            ) from None
        return traced

    def many(self, given: Given) -> tuple[PairTrace, dict[str, tuple[Soft, Tensor]]]:
        """A trace of ``copies`` K particles, its discrete sites scored by their mass, and those sites with their logits, K."""
        settle_particles(given.model, given.guide, given.batch)
        how = Relaxation("straight-through", 1.0, 1.0)
        programs = Relaxed(given.model, how, 1.0), Relaxed(given.guide, how, 1.0)
        traced = self.admit(given, trace_pair(*programs, given.batch, self.copies * self.num_particles))
        found = {}
        for name, site in traced.guide_sites.items():
            fn = innermost_of(site["fn"])
            if isinstance(fn, Soft):
                value = site["value"]
                found[name] = fn, fn.logits.expand(fn.batch_shape + fn.event_shape).reshape(value.shape)[: self.num_particles]
        return traced, found

    def scored(self, given: Given, traced: PairTrace, values: Mapping[str, Sequence[Tensor]]) -> PairTrace:
        """The pair at given values, ``copies`` of K each, of some sites, and at the trace's own draws of the others."""
        latents = {**traced.latents, **{name: torch.cat(list(each)) for name, each in values.items()}}
        assert traced.program is not None
        model = run_program(traced.program, given.batch, traced.shape[0], replay=replay_trace(traced.guide, latents))
        return PairTrace(model, traced.guide, traced.shape, traced.rerun, latents, None, traced.batch, traced.program)

    def updates(self, given: Given) -> Updates:
        """The update of the pair, and those of what is learned beside it."""
        if not torch.is_grad_enabled():
            traced = self.trace(given)
            bound = bounds.elbo(traced.log_weight)
            yield Update("pair", -bound.mean(), bound)
            return traced.next_state()
        traced, sites = self.many(given)
        yield self.estimate(given, traced, sites)
        return traced.next_state()

    def estimate(self, given: Given, traced: PairTrace, sites: Mapping[str, tuple[Soft, Tensor]]) -> Sequence[Update]:
        """The updates, at one draw."""
        raise NotImplementedError


def innermost_of(fn: Any) -> Any:
    """A distribution without what makes events, particles or masks of it."""
    while hasattr(fn, "base_dist"):
        fn = fn.base_dist
    return fn


def _uniform(like: Tensor) -> Tensor:
    return torch.rand_like(like).clamp_min(torch.finfo(like.dtype).eps / 4)


def _log_odds(u: Tensor) -> Tensor:
    return u.log() - (-u).log1p()


def coupled(fn: Soft, logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Noisy logits z, the value b that they have, and z given b drawn anew, all differentiable in the logits but b.

    References: Tucker et al., REBAR, 2017, appendix A and D.
    """
    u, v = _uniform(logits), _uniform(logits)
    if isinstance(fn, RelaxedBernoulli):
        z = logits + _log_odds(u)
        b = (z > 0).to(logits.dtype)
        at_one = logits.sigmoid()
        again = torch.where(b > 0, v * at_one + (1 - at_one), v * (1 - at_one))
        eps = torch.finfo(logits.dtype).eps / 4
        return z, b, logits + _log_odds(again.clamp(eps, 1 - 2 * eps))
    log_p = logits.log_softmax(-1)
    z = log_p - (-u.log()).log()
    b = fn.harden(z)
    largest = -(-v.log()).log()  # of the one that is chosen: Gumbel(0)
    chosen = (b * v.log()).sum(-1, keepdim=True)
    others = -(-v.log() / log_p.exp().clamp_min(1e-30) - chosen).log()
    return z, b, torch.where(b > 0, largest, others)


class Variate(nn.Module):
    """What the control variate is made of: the logarithm of the temperature and of eta, and perhaps a free network."""

    def __init__(self, temperature: float, eta: float, network: nn.Module | None = None) -> None:
        super().__init__()
        self.log_temperature = nn.Parameter(torch.tensor(math.log(temperature)))
        self.eta = nn.Parameter(torch.tensor(float(eta)))
        self.network = network


class REBAR(AtOtherValues):
    """The ELBO; its gradient the score function with the relaxed pair as control variate, unbiased, of low variance.

        [f(b) - eta f(s(z|b))] grad log q(b | x) + eta grad f(s(z)) - eta grad f(s(z|b)) + grad_direct f(b)

    f is the log weight, b = H(z) the value, z its noisy logits, z|b those drawn again given b, s the softmax at temperature T.
    eta and log T are learned in a second update, by the squared gradient of the first. The value is the ELBO of the hard pair,
    a lower bound on log p(x), in nats per datum, (B,). Discrete sites must not depend on one another in the guide.

    The second update takes second derivatives.

    Args:
        num_particles: K, over which the mean is taken.
        temperature: T at first.
        eta: weight of the control variate at first; 0 is the score function alone.
        learned: whether eta and T move.

    References: Tucker, Mnih, Maddison, Lawson and Sohl-Dickstein, REBAR, 2017, Eq. (8) and Section 3.2.
    """

    copies = 3
    moves = {"pair": ("model", "guide"), "control": ("objective",)}

    def __init__(self, num_particles: int = 1, temperature: float = 0.5, eta: float = 1.0, learned: bool = True) -> None:
        super().__init__(num_particles)
        self.require_weight("temperature", temperature)
        self.require_weight("eta", eta)
        if temperature == 0:
            raise OptionError(f"temperature is {temperature!r}; expected a positive number.")
        self.temperature, self.eta, self.learned = temperature, eta, learned

    @property
    def lacks_networks(self) -> bool:
        """Whether the control variate is not made yet."""
        return self.networks is None

    def build(self, traced: PairTrace) -> None:
        """Make the control variate, once."""
        if self.networks is None:
            like = next(iter(traced.latents.values()))
            self.networks = Variate(self.temperature, self.eta, self.network(traced)).to(like.device)

    def network(self, traced: PairTrace) -> nn.Module | None:
        """What is learned of the control variate beside eta and T."""
        return None

    def estimate(self, given: Given, traced: PairTrace, sites: Mapping[str, tuple[Soft, Tensor]]) -> Sequence[Update]:
        """The update of the pair by the estimate, and that of the control variate by its square."""
        variate = self.networks
        assert isinstance(variate, Variate)
        drawn = {name: coupled(fn, logits) for name, (fn, logits) in sites.items()}
        temperature = variate.log_temperature.exp()
        values = {
            name: (b, *(sites[name][0].squash(each / temperature)[1] for each in (z, again)))
            for name, (z, b, again) in drawn.items()
        }
        scored = self.scored(given, traced, values)
        f, soft, soft_given_b = scored.log_weight.chunk(3)
        score = traced.total({name: scored.log_q[name] for name in sites}).chunk(3)[0]
        if variate.network is not None:
            free = [torch.cat([each[i].flatten(2) for each in drawn.values()], -1) for i in (0, 2)]
            soft, soft_given_b = (c + variate.network(z).squeeze(-1) for c, z in zip((soft, soft_given_b), free, strict=True))
        path = f + (score - score.detach()) + variate.eta * (soft - soft_given_b)
        signal = f.detach() - variate.eta * soft_given_b
        pair = Update("pair", -(path + signal.detach() * score).mean(), bounds.elbo(f))
        params = given.params.get("pair")
        if params is None or not self.learned:
            still = sum((p.sum() for p in variate.parameters()), f.new_zeros(())) * 0.0
            return pair, Update("control", still)
        weights = [signal / signal.numel(), torch.ones_like(path) / path.numel()]  # attached: "control" differentiates them
        grads = torch.autograd.grad([score, path], list(params), weights, create_graph=True, allow_unused=True)
        squares = torch.stack([grad.square().sum() for grad in grads if grad is not None])
        return pair, Update("control", squares.sum(), figures={"eta": variate.eta.clone(), "temperature": temperature})


class RELAX(REBAR):
    """REBAR with a free network of the noisy logits added to the relaxed pair as control variate.

        c(z) = eta f(s(z)) + r(z),   and otherwise as :class:`REBAR`, r learned as eta and T are

    The value is the ELBO of the hard pair, a lower bound on log p(x), in nats per datum, (B,).

    Args:
        num_particles: K, over which the mean is taken.
        temperature: T at first.
        eta: weight of the relaxed pair at first.
        hidden: size of the hidden layer of r.

    References: Grathwohl, Choi, Wu, Roeder and Duvenaud, Backpropagation through the Void, 2018, Eq. (8) and Section 3.2.
    """

    def __init__(self, num_particles: int = 1, temperature: float = 0.5, eta: float = 1.0, hidden: int = 64) -> None:
        super().__init__(num_particles, temperature, eta)
        self.require("hidden", hidden, at_least=1)
        self.hidden = hidden

    def network(self, traced: PairTrace) -> nn.Module | None:
        """r, from all noisy logits to a number, zero at first."""
        sites = [site["value"] for site in traced.guide_sites.values() if is_discrete(site["fn"])]
        size = sum(value[0, 0].numel() for value in sites)
        last = nn.Linear(self.hidden, 1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        return nn.Sequential(nn.Linear(size, self.hidden), nn.Tanh(), last)


class ARM(AtOtherValues):
    """The ELBO; its gradient by two values of all bits that one uniform gives, unbiased, without a control variate.

        grad_a = E_u[(f(1[u > sigmoid(-a)]) - f(1[u < sigmoid(a)])) (u - 1/2)],   a the logits of q, f the log weight

    The value is the mean of the ELBO at both, draws of the hard pair: a lower bound on log p(x), in nats per datum, (B,).
    Discrete sites must be Bernoulli, and must not depend on one another in the guide.

    Args:
        num_particles: K pairs, over which the mean is taken.

    References: Yin and Zhou, ARM: Augment-REINFORCE-Merge Gradient for Stochastic Binary Networks, 2019, Theorem 1.
    """

    def __init__(self, num_particles: int = 1) -> None:
        super().__init__(num_particles)

    def trace(self, given: Given, batch: int = 0) -> PairTrace:
        """The hard pair's trace; refuses what is no bit, too."""
        traced = super().trace(given, batch)
        for name, site in traced.guide_sites.items():
            fn = innermost_of(site["fn"])
            if is_discrete(site["fn"]) and not isinstance(fn, torch.distributions.Bernoulli):
                raise ContractError(
                    f"site {name!r} is a {type(fn).__name__}, and {self!r} is for bits; use 'rebar' or 'vimco'."
                )
        return traced

    def estimate(self, given: Given, traced: PairTrace, sites: Mapping[str, tuple[Soft, Tensor]]) -> Sequence[Update]:
        """The update of the pair."""
        values, moved = {}, {}
        for name, (_, logits) in sites.items():
            u = torch.rand_like(logits)
            with torch.no_grad():
                values[name] = [(u > (-logits).sigmoid()).to(logits.dtype), (u < logits.sigmoid()).to(logits.dtype)]
            moved[name] = ((u - 0.5) * logits).flatten(2).sum(-1)
        scored = self.scored(given, traced, values)
        weight = scored.log_weight
        score = traced.total({name: scored.log_q[name] for name in sites})
        path = (weight + (score - score.detach())).unflatten(0, (2, -1)).mean(0)  # E[grad log q] = 0
        one, other = weight.detach().chunk(2)
        estimate = path + (one - other) * traced.total(moved)
        bound = bounds.elbo(weight)
        return (Update("pair", -estimate.mean(), bound),)
