"""Freeze parts of a backbone by role: the stem and the four stages, whatever a network calls them.

Fine-tuning commonly leaves the first layers of an ImageNet backbone as they are. Names of modules
differ between networks (``layer1``, ``blocks.1``, ``stages_1``); roles do not: stage k is what
makes the k-th of the four feature maps out of the one before, and the stem is everything before
stage 1.
"""

from collections.abc import Sequence
from typing import Any, Literal, get_args

from torch import nn

from densekd.errors import RecipeError, suggest
from densekd.models.mit import MixTransformer
from densekd.models.swin import Swin

Role = Literal["stem", "stage1", "stage2", "stage3", "stage4"]
ROLES: tuple[Role, ...] = get_args(Role)
# Containers of timm whose children, not they themselves, are the steps of the network.
_CONTAINERS = ("blocks", "stages")


def freeze(backbone: nn.Module, roles: Sequence[Role]) -> None:
    """Stop the gradients of the parts that have these roles, see also :func:`keep_frozen`.

    Args:
        backbone: changed in place.
        roles: of ``ROLES``; none: nothing is frozen.

    Raises:
        RecipeError: an unknown role, or a backbone whose roles cannot be told.
    """
    for module in _chosen(backbone, roles):
        module.requires_grad_(False)


def keep_frozen(backbone: nn.Module, roles: Sequence[Role]) -> None:
    """Put the parts that have these roles into evaluation mode: fixed batch norms, no dropout.

    To be called whenever ``train()`` has changed the mode of the whole model.
    """
    for module in _chosen(backbone, roles):
        module.eval()


def keep_statistics(backbone: nn.Module) -> None:
    """Put every batch norm of a backbone into evaluation mode: running statistics stay."""
    for module in backbone.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()


def parts_by_role(backbone: nn.Module) -> dict[Role, list[nn.Module]]:
    """Return the modules of each role; together they are the whole backbone.

    Raises:
        RecipeError: the backbone is neither one of ours nor a feature extractor of timm.
    """
    stages: list[list[nn.Module]] = []
    if isinstance(backbone, MixTransformer):
        for stage in backbone.stages:
            stages.append([stage])
        return _parts([backbone.patch_embed], stages)
    if isinstance(backbone, Swin):
        for index, (stage, norm) in enumerate(zip(backbone.stages, backbone.norms, strict=True)):
            # A stage begins with the merging of patches that halves the map before it.
            merging = [backbone.merges[index - 1]] if index else []
            stages.append([*merging, stage, norm])
        return _parts([backbone.patch_embed, backbone.patch_norm], stages)
    return _parts_of_timm(backbone)


def _parts_of_timm(backbone: Any) -> dict[Role, list[nn.Module]]:
    """Cut a feature extractor of timm behind the modules that its ``feature_info`` names."""
    steps = _steps(backbone)
    places = {name: place for place, (name, _) in enumerate(steps)}
    # Map 0 ends the stem, map k ends stage k.
    ends = []
    for module in _modules_of_maps(backbone):
        # timm flattens "stages.0" to "stages_0" where it keeps only some children.
        ends.append(places.get(module, places.get(module.replace(".", "_"))))
    if len(ends) != len(ROLES) or None in ends:
        known = ", ".join(ROLES)
        raise RecipeError(
            f"freeze: the roles ({known}) of a {type(backbone).__name__} cannot be told; "
            "set requires_grad of its parameters yourself, or choose a backbone that 'densekd "
            "models' lists."
        )
    parts: dict[Role, list[nn.Module]] = {}
    begin = 0
    for role, end in zip(ROLES, ends, strict=True):
        assert end is not None
        parts[role] = [module for _, module in steps[begin : end + 1]]
        begin = end + 1
    return parts


def _modules_of_maps(backbone: Any) -> list[str]:
    """Return the names of the modules that return the feature maps, finest first; else nothing."""
    info = getattr(backbone, "feature_info", None)
    return [] if info is None else [entry["module"] for entry in info.info]


def _steps(backbone: nn.Module) -> list[tuple[str, nn.Module]]:
    """List the modules that a network runs one after the other, with their paths."""
    steps: list[tuple[str, nn.Module]] = []
    for name, child in backbone.named_children():
        if name in _CONTAINERS:
            for inner, module in child.named_children():
                steps.append((f"{name}.{inner}", module))
        else:
            steps.append((name, child))
    return steps


def _parts(stem: list[nn.Module], stages: list[list[nn.Module]]) -> dict[Role, list[nn.Module]]:
    return dict(zip(ROLES, [stem, *stages], strict=True))


def _chosen(backbone: nn.Module, roles: Sequence[Role]) -> list[nn.Module]:
    """Return the modules that have these roles."""
    if not roles:
        return []
    for role in roles:
        if role not in ROLES:
            raise RecipeError(f"freeze: no part of a backbone is called '{role}'. {suggest(str(role), ROLES)}")
    parts = parts_by_role(backbone)
    modules: list[nn.Module] = []
    for role in roles:
        modules += parts[role]
    return modules
