"""Optimizers, parameter groups and learning rate schedules, all counted in optimizer steps."""

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from itertools import islice
from typing import Any, Literal, Protocol, final, runtime_checkable

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from densekd.errors import RecipeError, UserError, suggest
from densekd.models import contract

# Before the part of a name that would otherwise be a kind of parameter.
_NAMED = "named:"
# Devices where torch has one kernel for the step of all parameters.
_FUSED = ("cpu", "cuda")
_NORMS = (
    nn.modules.batchnorm._BatchNorm,
    nn.LayerNorm,
    nn.GroupNorm,
    nn.modules.instancenorm._InstanceNorm,
)


@runtime_checkable
class OwnOptimizer(Protocol):
    """Module whose parameters get an optimizer of their own, such as a discriminator.

    Attributes:
        optimization: fields of :class:`OptimizerConfig` that differ from the student's.
    """

    optimization: Mapping[str, Any]


@dataclass(frozen=True)
class OptimizerConfig:
    """Optimizer, parameter groups and learning rate schedule of a training.

    Args:
        method: ``sgd`` or ``adamw``.
        lr: base learning rate.
        steps: length of the training.
        weight_decay: on every parameter that is not excepted.
        momentum: of SGD.
        betas: of AdamW.
        no_decay: parameters without weight decay: ``norm`` (those of normalization layers),
            ``bias``, or any part of a parameter's name. ``named:PART`` is always the part of a name:
            ``named:norm`` excepts the layer norms of transformers, which are called so, and not
            the batch norms (``bn1``, ``.bn.``), as OpenMMLab's ``custom_keys`` do.
        head_lr: factor on the learning rate of the student's parameters outside its ``backbone``.
        power: of the polynomial decay ``(1 - n / steps)^power``; 0 keeps the rate constant.
        milestones: steps at each of which the rate falls to a tenth; there is no polynomial decay
            then.
        floor: learning rate at the end: ``(lr - floor) (1 - n / steps)^power + floor``, in every
            group.
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
    """Several optimizers that step as one, for schedules, checkpoints and Lightning.

    Its parameter groups are those of its parts, one after the other, and its state is shared with
    them; a state dict is that of a plain optimizer.

    Args:
        parts: at least one, over parameters of their own.
    """

    def __init__(self, parts: Sequence[torch.optim.Optimizer]) -> None:
        self.parts = tuple(parts)
        groups: list[dict[str, Any]] = []
        for part in parts:
            groups += part.param_groups
        super().__init__(groups, {})
        self._share()

    @property
    def _step_supports_amp_scaling(self) -> bool:
        """Whether every part divides by the scale of fp16, and skips a step that overflowed, by itself."""
        return all(getattr(part, "_step_supports_amp_scaling", False) for part in self.parts)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Evaluate ``closure`` once, if there is one, and let every part step."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        # What a scaler of gradients tells an optimizer for the time of its step.
        told = {name: getattr(self, name, None) for name in ("grad_scale", "found_inf")}
        for part in self.parts:
            vars(part).update(told)
            part.step()
            for name in told:
                delattr(part, name)
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state and hand it to the parts."""
        super().load_state_dict(state_dict)
        self._share()

    def _share(self) -> None:
        groups = iter(self.param_groups)
        for part in self.parts:
            own = list(islice(groups, len(part.param_groups)))
            # What load_state_dict of the part itself would end with.
            part.__setstate__({"state": self.state, "param_groups": own})


def make_optimizer(
    student: nn.Module,
    others: nn.Module,
    settings: OptimizerConfig,
) -> torch.optim.Optimizer:
    """Build the optimizer over the student and all else that learns (adapters, discriminators).

    Parameters fall into groups of equal learning rate and weight decay; a group's order is that of
    the modules. A module among ``others`` that is an :class:`OwnOptimizer` gets an optimizer of its
    own; then the result is a :class:`CombinedOptimizer`, the student's part first.

    Raises:
        RecipeError: a module's ``optimization`` names an unknown field.
    """
    # Discriminators bring settings of their own; their parameters leave the student's groups.
    own: dict[nn.Module, OptimizerConfig] = {}
    apart: set[nn.Parameter] = set()
    for module in others.modules():
        if isinstance(module, OwnOptimizer):
            apart.update(module.parameters())
            own[module] = _own_settings(module, settings)
    parts = [_make_part({student: settings.head_lr, others: 1.0}, settings, apart)]
    for module, its_settings in own.items():
        part = _make_part({module: 1.0}, its_settings, set())
        for group in part.param_groups:
            # The schedule reads it here, and a checkpoint carries it.
            group["own"] = asdict(its_settings)
        parts.append(part)
    return CombinedOptimizer(parts) if own else parts[0]


def make_schedule(optimizer: torch.optim.Optimizer, settings: OptimizerConfig) -> LambdaLR:
    """Build the learning rate schedule: polynomial decay or steps, floor, warm-up."""
    factors: list[Callable[[int], float]] = []
    for group in optimizer.param_groups:
        its_settings = OptimizerConfig(**group["own"]) if "own" in group else settings
        factors.append(partial(lr_factor, settings=its_settings, base=group["lr"]))
    return LambdaLR(optimizer, factors)


def lr_factor(n: int, settings: OptimizerConfig, base: float) -> float:
    """Return the factor on ``base`` after ``n`` optimizer steps."""
    # Decay from 1 to 0, by a polynomial or in steps.
    if settings.milestones:
        passed = sum(n >= step for step in settings.milestones)
        left = 0.1**passed
    else:
        left = max(0.0, 1 - n / settings.steps) ** settings.power
    # The decay ends at the floor, which is a learning rate and not a factor.
    floor = settings.floor / base if base else 0.0
    factor = (1 - floor) * left + floor
    # Warm-up multiplies the decay.
    if n < settings.warmup:
        factor *= 1 - (1 - n / settings.warmup) * (1 - settings.warmup_ratio)
    return float(factor)


class StorageOrderAdamW(torch.optim.AdamW):
    """AdamW whose fused step on a processor sees weights that are channels last in the order of their memory.

    Torch's kernel copies such tensors first, which takes longer than the step itself. The bits and the
    state are the same.
    """

    def _init_group(self, group: dict[str, Any], *lists: Any) -> bool:
        """Collect parameters, gradients and both averages as torch does, and look at them as vectors."""
        is_complex = bool(super()._init_group(group, *lists))  # type: ignore[no-untyped-call]
        if group["fused"]:
            parameters, gradients, averages, squares, *_ = lists
            for k, tensors in enumerate(zip(parameters, gradients, averages, squares, strict=True)):
                if all(_is_channels_last(tensor) for tensor in tensors):
                    vectors = [tensor.as_strided((tensor.numel(),), (1,)) for tensor in tensors]
                    parameters[k], gradients[k], averages[k], squares[k] = vectors
        return is_complex


def _is_channels_last(tensor: torch.Tensor) -> bool:
    """Tell whether a plain tensor on a processor lies channels last, and not also in the usual order."""
    if type(tensor) not in (torch.Tensor, nn.Parameter) or tensor.device.type != "cpu" or tensor.is_contiguous():
        return False
    return tensor.is_contiguous(memory_format=torch.channels_last)


def _make_part(
    modules: Mapping[nn.Module, float], settings: OptimizerConfig, apart: Set[nn.Parameter]
) -> torch.optim.Optimizer:
    """Build one optimizer over modules, each with a factor on the rate outside its backbone."""
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for module, head_lr in modules.items():
        backbone = contract.backbone(module)
        inside = set() if backbone is None else set(backbone.parameters())
        for name, parameter, owner in _parameters(module):
            if parameter in apart:
                continue
            lr = settings.lr * (1.0 if parameter in inside else head_lr)
            decay = settings.weight_decay
            if any(_matches(rule, name, owner) for rule in settings.no_decay):
                decay = 0.0
            groups.setdefault((lr, decay), []).append(parameter)
    listed, fused = [], True
    for (lr, decay), parameters in groups.items():
        listed.append({"params": parameters, "lr": lr, "weight_decay": decay})
        # One kernel for all parameters, where torch has it: nothing but the pass over the memory is
        # left of the step.
        fused = fused and all(p.device.type in _FUSED and p.is_floating_point() for p in parameters)
    if settings.method == "sgd":
        return torch.optim.SGD(listed, lr=settings.lr, momentum=settings.momentum, fused=fused)
    return StorageOrderAdamW(listed, lr=settings.lr, betas=settings.betas, fused=fused)


def _parameters(module: nn.Module) -> Iterator[tuple[str, nn.Parameter, nn.Module]]:
    """Yield every parameter that learns, with its name and the module that owns it."""
    for prefix, owner in module.named_modules():
        for name, parameter in owner.named_parameters(recurse=False):
            if parameter.requires_grad:
                yield f"{prefix}.{name}".lstrip("."), parameter, owner


def _own_settings(module: OwnOptimizer, settings: OptimizerConfig) -> OptimizerConfig:
    """Return the settings of a module that brings some of its own."""
    known = {field.name for field in fields(OptimizerConfig)}
    for name in module.optimization:
        if name not in known:
            where = f"{type(module).__name__}.optimization"
            raise RecipeError(f"{where}: unknown field '{name}'. {suggest(name, known)}")
    return replace(settings, **module.optimization)


def _matches(rule: str, name: str, owner: nn.Module) -> bool:
    """Tell whether a rule of ``no_decay`` excepts a parameter."""
    if rule.startswith(_NAMED):
        return rule.removeprefix(_NAMED) in name
    if rule == "norm":
        return isinstance(owner, _NORMS)
    if rule == "bias":
        return name.endswith("bias")
    return rule in name


def require_factory(optimizer: Any) -> None:
    """Refuse an optimizer that is built already: the parameters are not all there yet.

    Raises:
        UserError: neither None, a function, nor an OptimizerConfig.
    """
    if optimizer is None or isinstance(optimizer, OptimizerConfig) or callable(optimizer):
        return
    kind = type(optimizer).__name__
    raise UserError(
        f"optimizer: a function of the parameters, such as partial(torch.optim.AdamW, lr=1e-3), not the {kind} itself."
    )
