"""Optimisers, parameter groups and learning-rate schedules, all counted in optimiser steps."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

_NORMS = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm, nn.modules.instancenorm._InstanceNorm)


@dataclass(frozen=True)
class Optimisation:
    """How the parameters move.

    Args:
        method: ``sgd`` or ``adamw``.
        lr: base learning rate.
        weight_decay: on every parameter that is not excepted.
        momentum: of SGD.
        betas: of AdamW.
        no_decay: ``norm`` (parameters of normalisation layers), ``bias``, or parts of parameter names.
        head_lr: factor on the learning rate of the student's parameters outside its ``backbone``.
        steps: length of the training.
        power: of the polynomial decay ``(1 - n / steps)^power``; 0 keeps the rate constant.
        floor: learning rate at the end: ``(lr - floor) (1 - n / steps)^power + floor``, in every group.
        warmup: steps of linear warm-up.
        warmup_ratio: factor at its first step.
    """

    method: Literal["sgd", "adamw"]
    lr: float
    steps: int
    weight_decay: float = 0.0
    momentum: float = 0.9
    betas: tuple[float, float] = (0.9, 0.999)
    no_decay: tuple[str, ...] = ()
    head_lr: float = 1.0
    power: float = 0.9
    floor: float = 0.0
    warmup: int = 0
    warmup_ratio: float = 1e-6


def make_optimiser(student: nn.Module, others: nn.Module, settings: Optimisation) -> torch.optim.Optimizer:
    """Build the optimiser over the student and everything else that learns (adapters, losses' own parameters).

    Parameters fall into groups of equal learning rate and weight decay; a group's order is that of the modules.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for module, is_student in ((student, True), (others, False)):
        for name, parameter, owner in _parameters(module):
            factor = settings.head_lr if is_student and not name.startswith("backbone.") else 1.0
            decay = 0.0 if _excepted(name, owner, settings.no_decay) else settings.weight_decay
            groups.setdefault((settings.lr * factor, decay), []).append(parameter)
    listed = [{"params": group, "lr": lr, "weight_decay": decay} for (lr, decay), group in groups.items()]
    if settings.method == "sgd":
        return torch.optim.SGD(listed, lr=settings.lr, momentum=settings.momentum)
    return torch.optim.AdamW(listed, lr=settings.lr, betas=settings.betas)


def make_schedule(optimiser: torch.optim.Optimizer, settings: Optimisation) -> LambdaLR:
    """Build the schedule: polynomial decay to a floor, after a linear warm-up."""
    factors: list[Callable[[int], float]] = [
        partial(lr_factor, settings=settings, base=group["lr"]) for group in optimiser.param_groups
    ]
    return LambdaLR(optimiser, factors)


def lr_factor(n: int, settings: Optimisation, base: float) -> float:
    """Return the factor on ``base`` after ``n`` optimiser steps."""
    floor = settings.floor / base if base else 0.0
    share = max(0.0, 1 - n / settings.steps)
    factor = (1 - floor) * share**settings.power + floor
    if n < settings.warmup:
        factor *= 1 - (1 - n / settings.warmup) * (1 - settings.warmup_ratio)
    return float(factor)


def _parameters(module: nn.Module) -> Iterator[tuple[str, nn.Parameter, nn.Module]]:
    for prefix, owner in module.named_modules():
        for name, parameter in owner.named_parameters(recurse=False):
            if parameter.requires_grad:
                yield f"{prefix}.{name}".lstrip("."), parameter, owner


def _excepted(name: str, owner: nn.Module, rules: tuple[str, ...]) -> bool:
    def matches(rule: str) -> bool:
        if rule == "norm":
            return isinstance(owner, _NORMS)
        return name.endswith("bias") if rule == "bias" else rule in name

    return any(matches(rule) for rule in rules)


def all_finite(module: nn.Module) -> bool:
    """Say whether every parameter is finite; waits for the device once."""
    values: Any = [p.detach() for p in module.parameters()]
    return bool(torch.stack([torch.isfinite(v).all() for v in values]).all()) if values else True
