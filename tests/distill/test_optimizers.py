"""Parameter groups and learning rates, against the formulas that the source systems ship."""

from pathlib import Path
from typing import Any

import pytest
import torch
from golden_models import read_json
from torch import nn

from densekd.distill.optimizers import OptimizerConfig, StorageOrderAdamW, lr_factor, make_optimizer, make_schedule
from densekd.models import find_model
from densekd.recipe import load_recipe


class Small(nn.Module):
    """A backbone with a norm and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
        self.head = nn.Conv2d(4, 2, 1)
        self.pos_block = nn.Parameter(torch.zeros(3))


def groups(settings: OptimizerConfig) -> dict[tuple[float, float], int]:
    others = nn.ModuleDict({"term": nn.Conv2d(2, 5, 1, bias=False)})
    optimizer = make_optimizer(Small(), others, settings)
    return {(g["lr"], g["weight_decay"]): sum(p.numel() for p in g["params"]) for g in optimizer.param_groups}


def test_one_group_without_exceptions() -> None:
    assert groups(OptimizerConfig("sgd", 0.1, 10, weight_decay=0.01)) == {(0.1, 0.01): 16 + 8 + 10 + 3 + 10}


def test_exceptions_and_head_factor() -> None:
    settings = OptimizerConfig("adamw", 0.1, 10, weight_decay=0.01, no_decay=("norm", "bias", "pos_block"), head_lr=10)
    assert groups(settings) == {
        (0.1, 0.01): 12 + 10,  # the backbone's convolution, the adapter
        (0.1, 0.0): 4 + 8,  # its bias, the norm
        (1.0, 0.01): 8,  # the head's weight
        (1.0, 0.0): 2 + 3,  # its bias, the position
    }


def test_a_rule_is_any_part_of_a_name() -> None:
    settings = OptimizerConfig("adamw", 0.1, 10, weight_decay=0.01, no_decay=("pos", "ead.we"))
    assert groups(settings) == {(0.1, 0.01): 16 + 8 + 2 + 10, (0.1, 0.0): 8 + 3}


def test_a_backbone_may_have_another_name_inside() -> None:
    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder, self.classifier = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 2, 1)

        @property
        def backbone(self) -> nn.Module:
            return self.encoder

    optimizer = make_optimizer(Wrapped(), nn.ModuleDict(), OptimizerConfig("sgd", 0.1, 10, head_lr=10))
    assert {g["lr"]: sum(p.numel() for p in g["params"]) for g in optimizer.param_groups} == {0.1: 16, 1.0: 10}


def test_frozen_parameters_stay_out() -> None:
    model = Small()
    model.backbone.requires_grad_(False)
    optimizer = make_optimizer(model, nn.ModuleDict(), OptimizerConfig("sgd", 0.1, 10))
    assert sum(p.numel() for g in optimizer.param_groups for p in g["params"]) == 13


@pytest.mark.parametrize(
    ("n", "expected"),
    [(0, 0.01), (40000, (0.01 - 1e-4) * 0.5**0.9 + 1e-4), (80000, 1e-4), (90000, 1e-4)],
)
def test_poly_with_floor(n: int, expected: float) -> None:
    settings = OptimizerConfig("sgd", 0.01, 80000, power=0.9, floor=1e-4)
    assert 0.01 * lr_factor(n, settings, 0.01) == pytest.approx(expected, rel=1e-12)


def test_linear_warm_up_of_segdistill() -> None:
    settings = OptimizerConfig("adamw", 6e-5, 160000, power=1.0, warmup=1500, warmup_ratio=1e-6)
    assert lr_factor(0, settings, 6e-5) == pytest.approx(1e-6)
    assert lr_factor(750, settings, 6e-5) == pytest.approx((1 - 750 / 160000) * (1 - 0.5 * (1 - 1e-6)))
    assert lr_factor(1500, settings, 6e-5) == pytest.approx(1 - 1500 / 160000)


def test_schedule_moves_every_group_and_never_rises_at_the_end() -> None:
    settings = OptimizerConfig("sgd", 0.1, 4, power=1.0, head_lr=10)
    optimizer = make_optimizer(Small(), nn.ModuleDict(), settings)
    schedule = make_schedule(optimizer, settings)
    seen = []
    for _ in range(5):
        seen.append(sorted(g["lr"] for g in optimizer.param_groups))
        optimizer.step()
        schedule.step()
    assert seen == [[pytest.approx(0.1 * f), pytest.approx(f)] for f in (1, 0.75, 0.5, 0.25, 0)]


def test_milestones_are_mmdetections_1x_schedule() -> None:
    settings = OptimizerConfig("sgd", 0.01, 120, milestones=(80, 110), warmup=10, warmup_ratio=0.001)
    factors = [lr_factor(n, settings, 0.01) for n in (0, 10, 79, 80, 109, 110, 119)]
    assert factors == pytest.approx([0.001, 1, 1, 0.1, 0.1, 0.01, 0.01])


def test_power_zero_is_constant() -> None:
    settings = OptimizerConfig("sgd", 0.1, 10, power=0)
    assert [lr_factor(n, settings, 0.1) for n in (0, 5, 9)] == [1, 1, 1]


@pytest.mark.parametrize(("method", "plain"), [("sgd", torch.optim.SGD), ("adamw", torch.optim.AdamW)])
def test_the_fused_step_is_the_plain_one(method: Any, plain: Any) -> None:
    """Also where weights are channels-last, which a kernel that walks over memory has to respect."""
    torch.manual_seed(0)
    student = nn.Conv2d(3, 8, 3).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    other = nn.Conv2d(3, 8, 3)
    other.load_state_dict(student.state_dict())
    optimizer = make_optimizer(student, nn.Module(), OptimizerConfig(method, 0.1, 9, weight_decay=0.01))
    assert optimizer.param_groups[0]["fused"]
    options = {"momentum": 0.9} if method == "sgd" else {}
    expected = plain(other.parameters(), lr=0.1, weight_decay=0.01, foreach=False, fused=False, **options)
    images = torch.rand(2, 3, 9, 9)
    for _ in range(4):
        for model, steps in ((student, optimizer), (other, expected)):
            steps.zero_grad()
            model(images).square().mean().backward()
            steps.step()
    torch.testing.assert_close(student.weight, other.weight, rtol=1e-4, atol=1e-5)


def test_a_part_of_a_name_excepts_whatever_has_it() -> None:
    settings = OptimizerConfig("adamw", 0.1, 10, weight_decay=0.01, no_decay=("pos", "named:backbone.0"))
    small = Small()
    optimizer = make_optimizer(small, nn.ModuleDict(), settings)
    without = [p for group in optimizer.param_groups for p in group["params"] if group["weight_decay"] == 0]
    assert {id(p) for p in without} == {id(small.pos_block), *map(id, small.backbone[0].parameters())}


def excepted(model: nn.Module, *no_decay: str) -> set[str]:
    """Names of the parameters without weight decay."""
    settings = OptimizerConfig("adamw", 6e-5, 10, weight_decay=0.01, no_decay=no_decay)
    optimizer = make_optimizer(model, nn.ModuleDict(), settings)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    without = set()
    for group in optimizer.param_groups:
        assert group["weight_decay"] in (0, 0.01)
        if group["weight_decay"] == 0:
            without.update(names[id(parameter)] for parameter in group["params"])
    return without


def original_norms(model: str) -> int:
    """Parameters of SegDistill's student whose name holds "norm", which is what its custom_keys except."""
    if model == "pspnet":
        # OpenMMLab calls batch norms bn1, downsample.1 and .bn: the golden layout holds the names.
        keys = read_json("mmseg_pspnet_r50-d8", "keys.json")
        return sum("norm" in key for key in keys)
    if model == "segformer":
        # patch_embed1..4.norm; block1..4.0..1.norm1 and norm2; attn.norm where keys are reduced; norm1..4.
        return 2 * (4 + 8 * 2 + 6 + 4)
    # patch_embed.norm; norm1 and norm2 of 12 blocks; downsample.norm of three stages; norm0..3.
    return 2 * (1 + 12 * 2 + 3 + 4)


@pytest.mark.parametrize(
    ("model", "options", "parameters", "norms", "all_norms"),
    [
        ("pspnet", {"backbone": "resnet50", "family": "mmseg"}, 182, 0, 120),
        ("segformer", {"backbone": "mit_b0", "family": "nvlabs"}, 189, 60, 62),
        ("upernet", {"backbone": "swin_tiny"}, 215, 64, 88),
    ],
)
def test_norms_by_name_are_the_originals(
    model: str, options: dict[str, Any], parameters: int, norms: int, all_norms: int
) -> None:
    if model != "segformer":
        options = {**options, "auxiliary_channels": 0}
    with torch.device("meta"):
        student = find_model(model)(num_classes=150, **options)
    assert len(list(student.parameters())) == parameters
    assert len(excepted(student, "norm")) == all_norms
    by_name = excepted(student, "named:norm")
    assert len(by_name) == norms == original_norms(model)
    # Every layer norm is called so, and no batch norm.
    layer_norms = [name for name, module in student.named_modules() if isinstance(module, nn.LayerNorm)]
    assert by_name == {f"{name}.{leaf}" for name in layer_norms for leaf in ("weight", "bias")}


@pytest.mark.parametrize(
    ("name", "with_decay", "without"),
    [("psp-r50-cgd", 182, 0), ("b0-cgd", 129, 60), ("b0-at", 129, 60), ("swin-t-cgd-sw", 215 - 76, 76)],
)
def test_weight_decay_of_segdistills_recipes(name: str, with_decay: int, without: int) -> None:
    """Swin's 12 bias tables are excepted too."""
    recipe = load_recipe(Path(__file__).parents[2] / "recipes" / "ade20k" / f"segdistill-{name}.yaml")
    with torch.device("meta"):
        student = find_model(str(recipe.student.model))(num_classes=150, **recipe.student.options)
    names = excepted(student, *recipe.optimizer.no_decay)
    assert (len(list(student.parameters())) - len(names), len(names)) == (with_decay, without)


def test_the_step_of_channels_last_weights_has_the_bits_of_torchs_and_copies_none() -> None:
    def trained(optimizer: type[torch.optim.AdamW], copies: list[str]) -> tuple[nn.Module, torch.optim.AdamW]:
        torch.manual_seed(0)
        model: nn.Module = nn.Sequential(nn.Conv2d(5, 7, 3), nn.BatchNorm2d(7), nn.Conv2d(7, 3, 1))
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        made = optimizer(model.parameters(), lr=0.1, weight_decay=0.02, fused=True)
        for _ in range(3):
            made.zero_grad()
            model(torch.rand(2, 5, 6, 6).contiguous(memory_format=torch.channels_last)).square().sum().backward()
            with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], acc_events=True) as profile:
                made.step()
            copies += [event.name for event in profile.events() if event.name == "aten::clone"]
        return model, made

    ours: list[str] = []
    torchs: list[str] = []
    model, made = trained(StorageOrderAdamW, ours)
    expected, plain = trained(torch.optim.AdamW, torchs)
    assert torchs
    assert not ours
    for value, other in zip(model.parameters(), expected.parameters(), strict=True):
        assert torch.equal(value, other)
        state, its = made.state[value], plain.state[other]
        assert torch.equal(state["exp_avg"], its["exp_avg"])
        assert state["exp_avg_sq"].stride() == its["exp_avg_sq"].stride()
        assert torch.equal(state["exp_avg_sq"], its["exp_avg_sq"])
