"""Whether a run's step is compiled, and how that is recorded."""

from __future__ import annotations

from pyrovae.compile import CompiledStep
from pyrovae.train.training import Training

__all__ = ["compile_if_worthwhile"]

LONG_STEPS = 3_000  # from which a run earns back the seconds of its compilation,
LONG_WORK = 2_000_000  # or from so many steps x data x particles


def compile_if_worthwhile(training: Training) -> None:
    """Compile the step as asked for, or as the run that is continued did; records how in the run's configuration."""
    config, stepper, settings = training.run.config, training.stepper, training.settings
    done = config.get("compiled")
    asked = settings.compile
    if asked is None:
        work = training.total_steps * settings.batch_size * getattr(training.objective, "num_particles", 1)
        asked = training.total_steps >= LONG_STEPS or work >= LONG_WORK
    if isinstance(stepper, CompiledStep) and (asked if done is None else done["backend"] != "eager"):
        stepper.compile(
            next(training.batches(0, 0)),
            matmul=done and (done.get("products") or done["matmul"]),
            backend=done and done["backend"],
            asked=bool(settings.compile),
        )
    if done is None:
        config["compiled"] = {name: getattr(stepper, name, {}) for name in ("backend", "matmul", "products")}
