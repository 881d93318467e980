"""Updates of torch optimizers as tensor operations, with the optimizer's own state: Adam, AdamW, SGD and RMSprop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import SGD, Adam, AdamW, Optimizer, RMSprop

__all__ = ["UPDATES", "traceable", "update_state", "written"]

State = dict[str, Tensor]
Group = dict[str, Any]
Update = Callable[[Tensor, Tensor, State, Tensor, Group], tuple[Tensor, State]]


def written(values: Tensor) -> Tensor:
    """The same few numbers, which the compiler writes down once; it would compute them anew for each element they enter."""
    return torch.as_strided(values, values.shape, values.stride())


def adam(p: Tensor, grad: Tensor, state: State, lr: Tensor, group: Group) -> tuple[Tensor, State]:
    """p - lr m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps).

    References: Kingma and Ba, Adam, 2015, Algorithm 1; Loshchilov and Hutter, Decoupled Weight Decay Regularization, 2019.
    """
    beta1, beta2 = group["betas"]
    if group["weight_decay"] and group["decoupled_weight_decay"]:
        p = p * (1 - lr.float() * group["weight_decay"])
    elif group["weight_decay"]:
        grad = grad + group["weight_decay"] * p
    step = state["step"] + 1
    m = torch.lerp(state["exp_avg"], grad, 1 - beta1)
    v = state["exp_avg_sq"] * beta2 + (1 - beta2) * grad * grad
    t = step.double()  # 1 - 0.999 has four digits in float32
    size, rescale = written(torch.stack([lr / (1 - beta1**t), (1 - beta2**t).rsqrt()]).float()).unbind()
    new = p - size * m / (v.sqrt() * rescale + group["eps"])
    return new, {"step": step, "exp_avg": m, "exp_avg_sq": v}


def sgd(p: Tensor, grad: Tensor, state: State, lr: Tensor, group: Group) -> tuple[Tensor, State]:
    """p - lr (grad, or its running sum with momentum)."""
    if group["weight_decay"]:
        grad = grad + group["weight_decay"] * p
    if not group["momentum"]:
        return p - lr.float() * grad, {}
    buffer = group["momentum"] * state["momentum_buffer"] + (1 - group["dampening"]) * grad
    direction = grad + group["momentum"] * buffer if group["nesterov"] else buffer
    return p - lr.float() * direction, {"momentum_buffer": buffer}


def rmsprop(p: Tensor, grad: Tensor, state: State, lr: Tensor, group: Group) -> tuple[Tensor, State]:
    """p - lr g / (sqrt(v) + eps), v the running mean of g^2, minus that of g squared if centered; or its momentum's sum."""
    if group["weight_decay"]:
        grad = grad + group["weight_decay"] * p
    alpha = group["alpha"]
    new = {"step": state["step"] + 1, "square_avg": state["square_avg"] * alpha + (1 - alpha) * grad * grad}
    variance = new["square_avg"]
    if group["centered"]:
        new["grad_avg"] = torch.lerp(state["grad_avg"], grad, 1 - alpha)
        variance = variance - new["grad_avg"].square()
    direction = grad / (variance.sqrt() + group["eps"])
    if group["momentum"] > 0:
        direction = new["momentum_buffer"] = group["momentum"] * state["momentum_buffer"] + direction
    return p - lr.float() * direction, new


UPDATES: dict[type[Optimizer], Update] = {Adam: adam, AdamW: adam, SGD: sgd, RMSprop: rmsprop}


def traceable(optimizer: Optimizer) -> bool:
    """Whether :data:`UPDATES` has the optimizer's update, with its options."""
    plain = all(
        not group.get("amsgrad") and not group["maximize"] and not group["differentiable"] and not group.get("dampening")
        for group in optimizer.param_groups
    )
    return type(optimizer) in UPDATES and plain


def update_state(optimizer: Optimizer, group: Group, p: Tensor) -> State:
    """The optimizer's state of a parameter, made as its first step would make it."""
    state = optimizer.state[p]
    if not state and isinstance(optimizer, Adam):
        state["step"] = torch.zeros((), device=p.device if group["fused"] or group["capturable"] else "cpu")
        state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(p), torch.zeros_like(p)
        group.setdefault("decoupled_weight_decay", isinstance(optimizer, AdamW))
    elif not state and isinstance(optimizer, RMSprop):
        state["step"] = torch.zeros((), device=p.device if group["capturable"] else "cpu")
        names = ["square_avg", *["momentum_buffer"] * (group["momentum"] > 0), *["grad_avg"] * group["centered"]]
        state.update({name: torch.zeros_like(p) for name in names})
    elif state.get("momentum_buffer") is None and isinstance(optimizer, SGD) and group["momentum"]:
        state["momentum_buffer"] = torch.zeros_like(p)  # without dampening the first sum is the gradient, as in torch
    return {name: value for name, value in state.items() if isinstance(value, Tensor)}
