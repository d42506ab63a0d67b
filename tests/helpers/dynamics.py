"""Three real steps of each system's headline recipe in float64, as numbers.

``python tests/helpers/dynamics.py`` writes them to ``tests/golden/dynamics.json`` anew. A number that
changes is a decision: say in ``docs/decisions.md``, with a date, which and why.

Terms, weights, optimizer and schedule are those of the shipped recipes, read from them. Models are
small ones of the same family. All weights, images and labels are formulas or come from numpy's
PCG64, so that no number depends on torch's initializers or on how images are augmented.
"""

import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from dataset_trees import make_ade20k, make_cityscapes
from golden_models import fill
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from densekd.atomic import write_text
from densekd.builders.build import Built, build
from densekd.distill.optimizers import make_optimizer, make_schedule
from densekd.distill.terms import Term
from densekd.kernels import Kernels
from densekd.models import MODELS
from densekd.recipe import parse_recipe

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "dynamics.json"
STEPS = 3
DECISION = "a changed number is a dated decision in docs/decisions.md"
_SIZE = (64, 64)
# A batch norm after pooling to one position sees as many values as there are images: of two it would
# return their order alone, and rounding would decide about gradients.
_BATCH = 4


@dataclass(frozen=True)
class System:
    """One headline recipe and the small models that stand in for its own.

    Args:
        recipe: path below ``recipes``, without suffix.
        student, teacher: what replaces their options; the model's name is the student's.
        terms: options of losses that would fill the machine, by method.
        start: the first of the three steps.
    """

    recipe: str
    student: Mapping[str, Any]
    teacher: Mapping[str, Any]
    terms: Mapping[str, Mapping[str, Any]]
    start: int = 1


_MEMORY = {"cirkd_memory": {"pixel_memory_size": 40, "region_memory_size": 20}}
_CHANNELS = {"cirkd_channel": {"channel_memory_size": 40}}
_SMALL = {"backbone": "resnet18_025", "channels": 16}
_LARGER = {"backbone": "resnet18_050", "channels": 24}
SYSTEMS = {
    "torchdistiller": System(
        "cityscapes/td-r18-cwd-gan-pixel",
        {"backbone": "resnet18_025", "auxiliary_channels": 16},
        {"backbone": "resnet18_050", "auxiliary_channels": 16},
        {},
    ),
    "cirkd": System("cityscapes/cirkd-r18-cirkd", _SMALL, _LARGER, _MEMORY),
    "cirkdv2": System("cityscapes/cirkdv2-r18", _SMALL, _LARGER, _MEMORY | _CHANNELS),
    "hwd": System("cityscapes/hwd-r18", _SMALL, _LARGER, {}),
    "segdistill": System("ade20k/segdistill-b0-cgd-sw", {"channels": 32}, {"channels": 64}, {}),
    # Beyond the warm-up of the rate, within the decay of the weight.
    "segdistill-decay": System("ade20k/segdistill-b0-cgd-sw", {"channels": 32}, {"channels": 64}, {}, start=115_000),
    "mmrazor": System(
        "cityscapes/mmrazor-r18-cwd",
        {"backbone": "resnet18_025", "auxiliary_channels": 16},
        {"backbone": "resnet18_050", "auxiliary_channels": 16},
        {},
    ),
}


def built_system(system: System, folder: Path) -> Built:
    """Build a system's distiller from its recipe, in float64, with weights from formulas.

    Args:
        system: which.
        folder: for miniature data and weight files.
    """
    path = ROOT / "recipes" / f"{system.recipe}.yaml"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    dataset, classes = content["data"]["dataset"], 19
    root = folder / dataset
    if dataset == "ade20k":
        classes = 150
        make_ade20k(root)
        root = root / "ADEChallengeData2016"
    else:
        make_cityscapes(root)
    content["data"] |= {"root": str(root), "batch_size": _BATCH, "workers": 0}
    content["augment"]["crop"] = list(_SIZE)
    # Small models of the family, whose weights are files.
    name, options = content["student"]["model"], content["student"]["options"]
    for who, replaced in (("student", system.student), ("teacher", system.teacher)):
        own = options | dict(replaced)
        checkpoint = folder / f"{who}.safetensors"
        model = MODELS[name](classes, **own)
        save_file(filled(who, model.state_dict()), checkpoint)
        content[who] = {"model": name, "options": own, "checkpoint": str(checkpoint)}
    for term in content["distill"]:
        term["options"] = term.get("options", {}) | dict(system.terms.get(term["method"], {}))
    built = build(parse_recipe(content, system.recipe))
    terms = built.distiller.terms
    terms.load_state_dict(filled("terms", terms.state_dict()))
    built.distiller.double()
    built.distiller._trainer = None
    return built


def filled(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Fill a state dict by the rule of ``tests/golden/models``; queues and vectors get unit length."""
    result: dict[str, Tensor] = {}
    for key, value in state.items():
        if not value.is_floating_point():
            result[key] = value.clone()
            continue
        own = fill(f"{prefix}.{key}", list(value.shape))
        if key.rpartition(".")[2] in ("keys", "u", "v"):
            own = nn.functional.normalize(own, dim=-1)
        result[key] = own
    return result


def batch(num_classes: int, ignore_index: int) -> dict[str, Tensor]:
    """Return images in [0, 1] and labels with void, as formulas."""
    (H, W), B = _SIZE, _BATCH
    k = torch.arange(B * 3 * H * W, dtype=torch.float64).view(B, 3, H, W)
    images = 0.5 + 0.3 * torch.sin(0.013 * k) + 0.2 * torch.cos(0.37 * k)
    n = torch.arange(B * H * W).view(B, H, W)
    # Blocks of one class, several of which are in every image.
    labels = (7 * (n // 8) // 5 + n // 640) % num_classes
    return {"images": images, "target": labels.where(n % 23 > 1, ignore_index)}


def run_system(system: System, kernels: Kernels = "auto") -> dict[str, Any]:
    """Build a system and take three steps; see :func:`take_steps`.

    Args:
        system: which.
        kernels: see :class:`densekd.distill.distiller.Distiller`.
    """
    with tempfile.TemporaryDirectory() as folder:
        built = built_system(system, Path(folder))
    built.distiller.kernels = kernels
    return take_steps(built, system.start)


def take_steps(built: Built, start: int = 1) -> dict[str, Any]:
    """Take three steps and return what happened.

    Returns:
        ``losses``: of each step, weighted, by term; ``lr``: of each step, by parameter group;
        ``groups``: weight decay and number of parameters of each group; ``schedule``: learning
        rates and weights of the terms far into the training; ``parameters``: norm of each after
        the steps, and of its last gradient.
    """
    distiller = built.distiller
    settings: Any = distiller.optimizer
    optimizer = make_optimizer(distiller.student, distiller.terms, settings)
    schedule = make_schedule(optimizer, settings)
    _advance(schedule, start)
    classes = built.validation.classes
    samples = batch(len(classes.names), classes.ignore_index)
    distiller.train()
    losses: list[dict[str, float]] = []
    rates: list[list[float]] = []
    for n in range(start, start + STEPS):
        # Dropout, sampling and permutations draw from torch's generator.
        torch.manual_seed(n)
        optimizer.zero_grad()
        found = distiller.losses(samples, n)
        torch.stack(list(found.values())).sum().backward()
        losses.append({name: value.item() for name, value in found.items()})
        rates.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        schedule.step()
    return {
        "losses": losses,
        "lr": rates,
        "groups": _groups(optimizer),
        "schedule": _schedule(distiller.terms, schedule, settings.steps),
        "parameters": _norms(distiller),
    }


def _groups(optimizer: torch.optim.Optimizer) -> list[list[float]]:
    """Return weight decay and number of parameters of each group."""
    groups: list[list[float]] = []
    for group in optimizer.param_groups:
        groups.append([group["weight_decay"], sum(parameter.numel() for parameter in group["params"])])
    return groups


def _norms(distiller: nn.Module) -> dict[str, list[float]]:
    """Return the norm of each parameter and of its last gradient."""
    norms: dict[str, list[float]] = {}
    for name, parameter in learning(distiller):
        gradient = 0.0 if parameter.grad is None else parameter.grad.norm().item()
        norms[name] = [parameter.detach().norm().item(), gradient]
    return norms


def _advance(schedule: LambdaLR, start: int) -> None:
    """Bring the learning rates to those of step ``start``, counted from 1."""
    schedule.last_epoch = start - 1
    groups = zip(schedule.optimizer.param_groups, schedule.base_lrs, schedule.lr_lambdas, strict=True)
    for group, base, factor in groups:
        group["lr"] = base * factor(start - 1)


def learning(distiller: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Yield every parameter that learns: the student's, adapters', discriminators'."""
    for name, parameter in distiller.named_parameters():
        if parameter.requires_grad:
            yield name, parameter


def _schedule(terms: nn.ModuleDict, schedule: Any, steps: int) -> dict[str, dict[str, Any]]:
    """Return learning rates and weights where warm-ups, decays and the training have got far."""
    found: dict[str, dict[str, Any]] = {}
    for n in (1000, steps // 4, 115_000 if steps > 115_000 else steps // 2, steps):
        rates: list[float] = []
        for base, factor in zip(schedule.base_lrs, schedule.lr_lambdas, strict=True):
            rates.append(base * factor(n - 1))
        weights = {name: term.weight(n) for name, term in terms.items() if isinstance(term, Term)}
        found[str(n)] = {"lr": rates, "weights": weights}
    return found


def rounded(value: Any) -> Any:
    """Round every number to 13 digits, more than is compared."""
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    if isinstance(value, list):
        return [rounded(one) for one in value]
    return float(f"{value:.13g}")


def as_text(content: Mapping[str, Mapping[str, Any]]) -> str:
    """Write the numbers as JSON, one parameter, step or group a line."""
    systems: list[str] = []
    for name, parts in content.items():
        lines: list[str] = []
        for part, values in parts.items():
            items = values.items() if isinstance(values, dict) else [(None, value) for value in values]
            rows: list[str] = []
            for key, value in items:
                row = json.dumps(rounded(value))
                rows.append(row if key is None else f"{json.dumps(key)}: {row}")
            opening, closing = "{}" if isinstance(values, dict) else "[]"
            inner = ",\n".join(rows)
            lines.append(f"{json.dumps(part)}: {opening}\n{inner}\n{closing}")
        inner = ",\n".join(lines)
        systems.append(f"{json.dumps(name)}: {{\n{inner}\n}}")
    inner = ",\n".join(systems)
    return f"{{\n{inner}\n}}\n"


def main() -> None:
    """Write the numbers of all systems anew."""
    torch.set_num_threads(1)
    content = {name: run_system(system) for name, system in SYSTEMS.items()}
    write_text(GOLDEN, as_text(content))
    print(f"{GOLDEN.relative_to(ROOT)}: {DECISION}", file=sys.stderr)


if __name__ == "__main__":
    main()
