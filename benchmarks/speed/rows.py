"""The rows of ``speed``: which network, which bound, which batch. Read by the peers' interpreters too, so plain Python."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["EPOCHS", "ROWS", "Row"]


@dataclass(frozen=True)
class Row:
    """One step to be timed.

    Attributes:
        kind: vae, conv, two-layers, enumerated or sequence.
        batch: B.
        particles: K; 1 is the ELBO, more are the IWAE bound.
        latent_dim, hidden: of the kinds vae and conv; the other kinds have one size each (``pairs.py``).
        steps: in one turn of a round.
    """

    kind: str
    batch: int
    particles: int = 1
    latent_dim: int = 50
    hidden: tuple[int, ...] = (200, 200)
    steps: int = 100

    @property
    def objective(self) -> str:
        """The name of its objective in pyrovae."""
        return "elbo" if self.particles == 1 else f"iwae:num_particles={self.particles}"

    def to_json(self) -> dict[str, Any]:
        """Plain values that make it again."""
        return asdict(self)


ROWS = {
    "vae-20": Row("vae", 20, latent_dim=20, hidden=(400,), steps=500),
    "vae-100": Row("vae", 100, latent_dim=20, hidden=(400,), steps=300),
    "vae-256": Row("vae", 256, latent_dim=20, hidden=(400,), steps=200),
    "iwae-20": Row("vae", 20, particles=50),
    "iwae-100": Row("vae", 100, particles=50),
    "conv-100": Row("conv", 100),
    "iwae2-20": Row("two-layers", 20, particles=50),
    "enum-100": Row("enumerated", 100),
    "sequence-100": Row("sequence", 100),
}
EPOCHS = ("vae-20", "vae-100", "iwae-100")  # rows whose whole epochs through fit are timed too
