"""Optimizers, parameter groups and learning-rate schedules, all counted in optimizer steps."""

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from itertools import islice
from typing import Any, Literal, Protocol, final, runtime_checkable

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from densekd.errors import RecipeError, suggest
from densekd.models import contract

_FUSED = ("cpu", "cuda")
_NORMS = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm, nn.modules.instancenorm._InstanceNorm)


@runtime_checkable
class OwnOptimizer(Protocol):
    """Module whose parameters get an optimizer of their own, such as a discriminator."""

    optimization: Mapping[str, Any]


@dataclass(frozen=True)
class OptimizerConfig:
    """How the parameters move.

    Args:
        method: ``sgd`` or ``adamw``.
        lr: base learning rate.
        weight_decay: on every parameter that is not excepted.
        momentum: of SGD.
        betas: of AdamW.
        no_decay: ``norm`` (parameters of normalization layers), ``bias``, or parts of parameter names.
        head_lr: factor on the learning rate of the student's parameters outside its ``backbone``.
        steps: length of the training.
        power: of the polynomial decay ``(1 - n / steps)^power``; 0 keeps the rate constant.
        milestones: steps at each of which the rate falls to a tenth; there is no polynomial decay then.
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
    milestones: tuple[int, ...] = ()
    floor: float = 0.0
    warmup: int = 0
    warmup_ratio: float = 1e-6


@final
class CombinedOptimizer(torch.optim.Optimizer):
    """Several optimizers that step as one: to schedules, checkpoints and Lightning they look like a single one.

    Its parameter groups are those of its parts, one after the other, and its state is shared with them; a state dict is
    that of a plain optimizer.

    Args:
        parts: at least one, over parameters of their own.
    """

    def __init__(self, parts: Sequence[torch.optim.Optimizer]) -> None:
        self.parts = tuple(parts)
        super().__init__([group for part in parts for group in part.param_groups], {})
        self._share()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Evaluate ``closure`` once, if there is one, and let every part step."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self.parts:
            part.step()
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state and hand it to the parts."""
        super().load_state_dict(state_dict)
        self._share()

    def _share(self) -> None:
        groups = iter(self.param_groups)
        for part in self.parts:
            # What load_state_dict of the part itself would end with.
            part.__setstate__({"state": self.state, "param_groups": list(islice(groups, len(part.param_groups)))})


def make_optimizer(student: nn.Module, others: nn.Module, settings: OptimizerConfig) -> torch.optim.Optimizer:
    """Build the optimizer over the student and everything else that learns (adapters, losses' own parameters).

    Parameters fall into groups of equal learning rate and weight decay; a group's order is that of the modules. A
    module among ``others`` that has an attribute ``optimization``, a mapping of fields of :class:`OptimizerConfig`,
    gets
    an optimizer of its own with these fields replaced; then the result is a :class:`CombinedOptimizer`, the student's
    part first.

    Raises:
        RecipeError: a module's ``optimization`` names an unknown field.
    """
    own = {module: _own(module, settings) for module in others.modules() if isinstance(module, OwnOptimizer)}
    apart = {parameter for module in own for parameter in module.parameters()}
    parts = [_optimizer({student: settings.head_lr, others: 1.0}, settings, apart)]
    for module, theirs in own.items():
        parts.append(_optimizer({module: 1.0}, theirs, set()))
        for group in parts[-1].param_groups:
            group["own"] = asdict(theirs)
    return CombinedOptimizer(parts) if own else parts[0]


def make_schedule(optimizer: torch.optim.Optimizer, settings: OptimizerConfig) -> LambdaLR:
    """Build the schedule: decay, polynomial or in steps, to a floor, and warm-up; a group may have its own settings."""
    factors: list[Callable[[int], float]] = [
        partial(lr_factor, settings=OptimizerConfig(**group["own"]) if "own" in group else settings, base=group["lr"])
        for group in optimizer.param_groups
    ]
    return LambdaLR(optimizer, factors)


def lr_factor(n: int, settings: OptimizerConfig, base: float) -> float:
    """Return the factor on ``base`` after ``n`` optimizer steps."""
    floor = settings.floor / base if base else 0.0
    if settings.milestones:
        left = 0.1 ** sum(n >= step for step in settings.milestones)
    else:
        left = max(0.0, 1 - n / settings.steps) ** settings.power
    factor = (1 - floor) * left + floor
    if n < settings.warmup:
        factor *= 1 - (1 - n / settings.warmup) * (1 - settings.warmup_ratio)
    return float(factor)


def _optimizer(
    modules: Mapping[nn.Module, float], settings: OptimizerConfig, apart: Set[nn.Parameter]
) -> torch.optim.Optimizer:
    """Build one optimizer over modules, each with a factor on the learning rate outside its ``backbone``."""
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for module, head_lr in modules.items():
        backbone = contract.backbone(module)
        inside = set() if backbone is None else set(backbone.parameters())
        for name, parameter, owner in _parameters(module):
            if parameter in apart:
                continue
            factor = 1.0 if parameter in inside else head_lr
            decay = 0.0 if _excepted(name, owner, settings.no_decay) else settings.weight_decay
            groups.setdefault((settings.lr * factor, decay), []).append(parameter)
    # One kernel for all parameters, where torch has it: nothing but the pass over the memory is left of the step.
    fused = all(p.device.type in _FUSED and p.is_floating_point() for group in groups.values() for p in group)
    listed = [{"params": group, "lr": lr, "weight_decay": decay} for (lr, decay), group in groups.items()]
    if settings.method == "sgd":
        return torch.optim.SGD(listed, lr=settings.lr, momentum=settings.momentum, fused=fused)
    return torch.optim.AdamW(listed, lr=settings.lr, betas=settings.betas, fused=fused)


def _parameters(module: nn.Module) -> Iterator[tuple[str, nn.Parameter, nn.Module]]:
    for prefix, owner in module.named_modules():
        for name, parameter in owner.named_parameters(recurse=False):
            if parameter.requires_grad:
                yield f"{prefix}.{name}".lstrip("."), parameter, owner


def _own(module: Any, settings: OptimizerConfig) -> OptimizerConfig:
    known = {field.name for field in fields(OptimizerConfig)}
    for name in module.optimization:
        if name not in known:
            where = f"{type(module).__name__}.optimization"
            raise RecipeError(f"{where}: unknown field '{name}'. {suggest(name, known)}")
    return replace(settings, **module.optimization)


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
