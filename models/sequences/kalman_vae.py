"""The Kalman variational autoencoder, in steps: linear-Gaussian states of codes of frames, which are summed exactly."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn

from pyrovae.nets import LSTMCell

__all__ = ["KalmanVAE"]


class KalmanVAE(nn.Module):
    """p(x, a) = prod_t p(x_t | a_t) p(a_t | a_1, ..., a_t-1), the states s_1:T of the codes a_1:T summed by Kalman's filter.

        s_t = A_t s_t-1 + N(0, Q),   a_t = C_t s_t + N(0, R),   s_0 ~ N(0, I),   Q = q I, R = r I
        A_t = sum_k alpha_tk A_k,   C_t = sum_k alpha_tk C_k,   alpha_t = softmax of an LSTM over a_1, ..., a_t-1
        p(a_t | a_1:t-1) = N(C_t m_t, C_t P_t C_t' + R),   m_t and P_t of s_t given a_1:t-1

    No state is sampled, and the bound is one on log p(x). (The paper's code weighs log p(x | a) with 0.3, which is then none.)

    Sites of a step: ``a``, (d,); ``x``, the shape of a step's data.

    Args:
        decoder: a_t to the parameters of the likelihood, (..., P, *shape).
        likelihood: those parameters to a distribution of x_t.
        latent_dim: d.
        state_dim: n, of s_t.
        num_dynamics: how many A_k and C_k are mixed.
        recurrent_dim: size of the LSTM.

    References: Fraccaro, Kamronn, Paquet and Winther, A Disentangled Recognition and Nonlinear Dynamics Model for
    Unsupervised Learning, 2017.
    """

    def __init__(
        self,
        decoder: nn.Module,
        likelihood: nn.Module,
        latent_dim: int,
        state_dim: int,
        num_dynamics: int,
        recurrent_dim: int,
    ) -> None:
        super().__init__()
        self.decoder, self.likelihood = decoder, likelihood
        self.cell, self.mixture = LSTMCell([latent_dim], recurrent_dim), nn.Linear(recurrent_dim, num_dynamics)
        self.transitions = nn.Parameter(torch.eye(state_dim) + 0.05 * torch.randn(num_dynamics, state_dim, state_dim))
        self.emissions = nn.Parameter(torch.randn(num_dynamics, latent_dim, state_dim) / state_dim**0.5)
        self.log_q, self.log_r = nn.Parameter(torch.tensor(-2.5)), nn.Parameter(torch.tensor(-3.5))  # .08, .03 as in the paper
        self.recurrent_dim = recurrent_dim

    def init(self, x: Tensor) -> dict[str, Tensor]:
        """Mean and covariance of s_0, (B, n) and (B, n, n), and the LSTM's state."""
        size, n = len(x), self.transitions.shape[-1]
        zeros = self.log_q.new_zeros(size, self.recurrent_dim)
        start = {"mean": zeros.new_zeros(size, n), "cov": torch.eye(n).to(zeros).expand(size, n, n)}
        return {**start, "h": zeros, "c": zeros}

    def predict(self, state: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """m_t, (..., n), P_t, (..., n, n), and C_t, (..., d, n), of the next step."""
        alpha = self.mixture(state["h"]).softmax(-1)
        transition = (alpha @ self.transitions.flatten(1)).unflatten(-1, self.transitions.shape[1:])
        emission = (alpha @ self.emissions.flatten(1)).unflatten(-1, self.emissions.shape[1:])
        mean = (transition @ state["mean"].unsqueeze(-1)).squeeze(-1)
        noise = self.log_q.exp() * torch.eye(mean.shape[-1]).to(mean)
        return mean, transition @ state["cov"] @ transition.mT + noise, emission

    def code(self, mean: Tensor, cov: Tensor, emission: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and covariance of a_t given the codes before, (..., d) and (..., d, d)."""
        spread = emission @ cov @ emission.mT
        noise = self.log_r.exp() * torch.eye(spread.shape[-1]).to(spread)
        return (emission @ mean.unsqueeze(-1)).squeeze(-1), spread + noise

    def step(self, state: dict[str, Tensor], x: Tensor) -> dict[str, Tensor]:
        """One step of the model, p, on x_t."""
        mean, cov, emission = self.predict(state)
        expected, spread = self.code(mean, cov, emission)
        lower = torch.linalg.cholesky(spread)
        a = pyro.sample("a", dist.MultivariateNormal(expected, scale_tril=lower))
        pyro.sample("x", self.likelihood(self.decoder(a)), obs=x)
        gain = torch.cholesky_solve(emission @ cov, lower).mT  # P C' (C P C' + R)^-1
        rest = torch.eye(mean.shape[-1]).to(mean) - gain @ emission
        noise = self.log_r.exp() * gain @ gain.mT
        mean = mean + (gain @ (a - expected).unsqueeze(-1)).squeeze(-1)
        h, c = self.cell(state["h"], state["c"], a)
        return {"mean": mean, "cov": rest @ cov @ rest.mT + noise, "h": h, "c": c}
