"""A class and a point from one network of two heads."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
from torch import Tensor, nn

__all__ = ["ClassPoint"]


class ClassPoint(nn.Module):
    """q(y, z | x) = Cat(y; softmax f(x)) delta(z - e(x)): f and e are the two heads of one network, y enumerated.

    Sites: the class, one-hot, (C,), under a name of its own; ``z``, (d,). The point z has no density, under which no bound on
    log p(x) exists.

    Args:
        encoder: x to (..., C + d), the logits first.
        num_classes: C.
        site: name of the class.

    References: Makhzani et al., Adversarial Autoencoders, 2016, Sections 5 and 6.
    """

    def __init__(self, encoder: nn.Module, num_classes: int, site: str = "y") -> None:
        super().__init__()
        self.encoder, self.num_classes, self.site = encoder, num_classes, site

    def forward(self, x: Tensor) -> None:
        """Run the guide, q, on a batch of B data."""
        features = self.encoder(x)
        logits, z = features[..., : self.num_classes], features[..., self.num_classes :]
        with pyro.plate("data", x.shape[0], dim=-1):
            pyro.sample(self.site, dist.OneHotCategorical(logits=logits), infer={"enumerate": "parallel"})
            pyro.sample("z", dist.Delta(z, event_dim=1))
