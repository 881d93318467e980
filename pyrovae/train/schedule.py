"""Schedules: the value of a numeric option of the objective as a function of the step."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

from pyrovae.errors import OptionError, nearest
from pyrovae.objectives import Objective
from pyrovae.registry import parse_choice

__all__ = ["SCHEDULES", "Schedule", "build_schedules", "warm_from"]

Schedule = Callable[[int], float]


def constant(value: float) -> Callable[[float], float]:
    """The value."""
    return lambda _: value


def linear(start: float, end: float) -> Callable[[float], float]:
    """start + (end - start) t."""
    return lambda t: start + (end - start) * t


def exponential(start: float, end: float) -> Callable[[float], float]:
    """start (end / start)^t."""
    if not (start > 0 and end > 0):
        raise OptionError(f"an exponential schedule goes from {start!r} to {end!r}; expected positive numbers.")
    return lambda t: start * (end / start) ** t


def cosine(start: float, end: float) -> Callable[[float], float]:
    """end + (start - end) (1 + cos(pi t)) / 2."""
    return lambda t: end + (start - end) * (1 + math.cos(math.pi * t)) / 2


def cyclical(start: float, end: float, cycles: int = 4, rise: float = 0.5) -> Callable[[float], float]:
    """From start to end linearly in the first ``rise`` of each of so many cycles, then end.

    References: Fu et al., Cyclical Annealing Schedule: A Simple Approach to Mitigating KL Vanishing, 2019, Eq. (6) and (7).
    """
    if not (cycles >= 1 and 0 < rise <= 1):
        raise OptionError(f"a cyclical schedule has cycles={cycles!r}, rise={rise!r}; expected at least 1, and a part of one.")
    return lambda t: end if t >= 1 else start + (end - start) * min(1.0, (t * cycles % 1.0) / rise)


SCHEDULES: dict[str, Callable[..., Callable[[float], float]]] = {
    "constant": constant,
    "linear": linear,
    "exponential": exponential,
    "cosine": cosine,
    "cyclical": cyclical,
}


def build_schedules(
    chosen: Mapping[str, Any] | None, kl_warmup: float, objective: Any, epoch_steps: int
) -> dict[str, Schedule]:
    """Option -> its value at each step, for an objective's scheduled options.

    Args:
        chosen: option -> ``"linear:start=0,end=4,epochs=10"``, a mapping with ``name``, a number, or a callable of the step.
            A named schedule takes ``epochs`` or ``steps``, over which t goes from 0 to 1.
        kl_warmup: epochs over which beta (or the capacity) grows linearly from 0 to its value.
        objective: whose ``weights`` may be scheduled.
        epoch_steps: steps in an epoch.

    Raises:
        OptionError: an option or schedule that is not known, a value that the objective refuses.
    """
    made: dict[str, Schedule] = {}
    known = objective.weights if isinstance(objective, Objective) else {}
    for option, schedule in (chosen or {}).items():
        if option not in known:
            error = nearest(f"option of {objective!r} to schedule", option, known or ["none"])
            raise OptionError(f"{error} An option that is off (0 or None) is scheduled once the objective has a value for it.")
        made[option] = build(option, schedule, epoch_steps, objective)
    if kl_warmup:
        option = "capacity" if "capacity" in known else "beta"
        if option in made:
            raise OptionError(f"kl_warmup={kl_warmup:g} and schedule both give {option}; give one of them.")
        warmup = {"name": "linear", "start": 0.0, "end": known[option], "epochs": kl_warmup}
        made[option] = build(option, warmup, epoch_steps)
    return made


def warm_from(schedules: Mapping[str, Schedule], epoch_steps: int, total_steps: int) -> int:
    """The step of the first epoch's end whose last step had the last value of the KL's scheduled weight; 0 without one.

    >>> warm_from({"beta": lambda step: min(1.0, step / 5)}, epoch_steps=2, total_steps=10)
    6
    """
    ends = [*range(epoch_steps, total_steps, epoch_steps), total_steps]
    for schedule in (schedules[option] for option in ("beta", "capacity") if option in schedules):
        last = schedule(total_steps - 1)
        moving = [step for step in ends if schedule(step - 1) != last]
        ends = [step for step in ends if not moving or step > moving[-1]]
    return ends[0] if schedules else 0


def build(option: str, chosen: Any, epoch_steps: int, objective: Objective | None = None) -> Schedule:
    """One schedule; values at its ends are tried on the objective, whose constructor says what it takes."""
    if isinstance(chosen, (int, float)) and not isinstance(chosen, bool):
        chosen = {"name": "constant", "value": chosen}
    if callable(chosen):
        schedule = checked(option, chosen)
        schedule(0)  # what it begins with is refused before anything else is asked of it
        return schedule
    name, options = parse_choice(chosen, f"schedule of {option}")
    if name not in SCHEDULES:
        raise nearest(f"schedule of {option}", str(name), SCHEDULES)
    known = [*inspect.signature(SCHEDULES[name]).parameters, "epochs", "steps"]
    for key, value in options.items():
        if key not in known:
            raise nearest(f"option of schedule {name}", key, known)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise OptionError(f"{key} of schedule {name} of {option} is {value!r}; expected a number.")
    epochs, steps = options.pop("epochs", None), options.pop("steps", None)
    if name != "constant" and ((epochs is None) == (steps is None) or not (epochs or steps or 0) > 0):
        raise OptionError(f"schedule {name} of {option} has epochs={epochs}, steps={steps}; expected one of them, positive.")
    length = (epochs * epoch_steps if epochs is not None else steps) or 1
    try:
        curve = SCHEDULES[name](**options)
    except TypeError as error:
        raise OptionError(f"schedule {name} of {option}: {error}.") from error
    if objective is not None:
        for value in {options[key] for key in ("value", "start", "end") if key in options}:
            admit(objective, option, value)
    return lambda step: curve(min(1.0, step / length))


def admit(objective: Objective, option: str, value: float) -> None:
    """OptionError where the objective refuses the value, or would be a bound on another side with it."""
    if objective.with_weight(option, value).bound != objective.bound:
        raise OptionError(f"{option} is scheduled to {value:g}, where {objective!r} is no longer {objective.bound!r}.")


def checked(option: str, function: Callable[[int], Any]) -> Schedule:
    """A user's function of the step, whose values must be finite numbers."""

    def value(step: int) -> float:
        result = float(function(step))
        if not math.isfinite(result):
            raise OptionError(f"the schedule of {option} gives {result} at step {step}; expected a finite number.")
        return result

    return value
