"""The rest of the teacher's head on the student's feature: literal numbers, gradients, and what stays as it is."""

import copy
from collections.abc import Mapping
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from densekd.distill.adapters import conv
from densekd.distill.distiller import Distiller
from densekd.distill.fuse_batchnorm import fuse_batch_norms
from densekd.distill.teacher import FrozenTeacher
from densekd.distill.term_plan import TermPlan
from densekd.distill.terms import PerLevel, TapPair, Term, teacher_heads, teacher_paths
from densekd.distill.through import TeacherHead
from densekd.distill.wiring import ProbeBatch, wire_terms
from densekd.errors import RecipeError, UserError
from densekd.losses import LOSSES
from densekd.models import find_model
from densekd.tasks import Segmentation

C = 5
IMAGES = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(3))


def settled(model: nn.Module) -> nn.Module:
    """Give every norm statistics of its own, so that a forgotten one is seen."""
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.running_mean.uniform_(-1, 1)  # type: ignore[union-attr]
            module.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
    return model.eval()


def pspnet(**options: Any) -> nn.Module:
    model: nn.Module = settled(find_model("pspnet")(C, backbone="resnet18_025", auxiliary_channels=0, **options))
    return model


def fpn() -> nn.Module:
    model: nn.Module = find_model("fpn")(C, backbone="resnet18_025", channels=16)
    return model


def features(model: nn.Module) -> list[Tensor]:
    maps: list[Tensor] = model.backbone(model.normalize(IMAGES))  # type: ignore[operator]
    return maps


def kl(student: Tensor, teacher: Tensor) -> Tensor:
    """KL between the classes of each pixel, mean over pixels."""
    p = teacher.softmax(1)
    return (p * (p.log() - F.log_softmax(student, 1))).sum(1).mean()


def pixel() -> nn.Module:
    return LOSSES["pixel"](255, scale="none")  # type: ignore[call-arg]


def test_simkd_equals_the_formula_written_out() -> None:
    teacher, student = pspnet(), fpn().eval()
    taps = TapPair("features.3", "logits")
    head = TeacherHead(teacher, ["head[3]"], IMAGES)
    assert head.shapes == (features(teacher)[3].shape,)
    term = Term(pixel(), taps, conv(features(student)[3].shape[1], features(teacher)[3].shape[1]), 1.0, "teacher", head)
    teacher.requires_grad_(False)
    mine = features(student)[3]
    frozen = FrozenTeacher(teacher, teacher_paths({"x": term}))
    value = term({"features.3": mine}, frozen(IMAGES), None)
    # The other maps that the head takes are the teacher's; PSPNet's reads the last alone.
    with torch.no_grad():
        others, logits = features(teacher)[:3], teacher(IMAGES)
    out = teacher.head([*others, term.adapter(mine)])  # type: ignore[operator]
    expected = kl(F.interpolate(out, logits.shape[2:], mode="bilinear", align_corners=False), logits)
    torch.testing.assert_close(value, expected)


def test_crosskd_equals_the_formula_written_out() -> None:
    options = {"backbone": "resnet18_025", "channels": 16, "depth": 3}
    teacher, student = settled(find_model("gfl")(C, **options)), find_model("gfl")(C, **options).eval()
    # Of the first convolution of the student's tower, on the second level, to the teacher's scores.
    head = TeacherHead(teacher, ["head.cls_tower.1", "head.cls_tower.2", "head.cls"], IMAGES)
    term = Term(LOSSES["l2"](), TapPair("head.cls_tower.0@1", "cls.1"), None, 1.0, "none", head)
    student_features, teacher_features = {}, {}
    for model, read in ((student, student_features), (teacher, teacher_features)):
        level = model.neck(model.backbone(model.normalize(IMAGES))[1:])[1]
        read["level"] = level
        read["head.cls_tower.0@1"] = model.head.cls_tower[0](level)
        read["cls.1"] = model.head.cls(model.head.cls_tower(level))
    value = term(student_features, teacher_features, None)
    tower = teacher.head.cls_tower
    crossed = teacher.head.cls(tower[2](tower[1](student_features["head.cls_tower.0@1"])))
    torch.testing.assert_close(value, LOSSES["l2"]()(crossed, teacher_features["cls.1"].detach()))


def test_all_maps_of_a_head_may_be_the_students() -> None:
    teacher, student = settled(fpn()), fpn().eval()
    head = TeacherHead(teacher, ["head"], IMAGES, maps=4)
    assert head.taps == ()
    adapters = PerLevel([nn.Identity() for _ in range(4)])
    maps = tuple(features(student))
    paths = tuple(f"features.{k}" for k in range(4))
    term = Term(pixel(), TapPair(paths, "logits"), adapters, 1.0, "none", head)
    logits = teacher(IMAGES).detach()
    value = term(dict(zip(paths, maps, strict=True)), {"logits": logits}, None)
    torch.testing.assert_close(value, kl(teacher.head(list(maps)), logits))  # type: ignore[operator]


def test_a_head_that_takes_a_dict() -> None:
    class Named(nn.Module):
        """A model whose head takes named maps."""

        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(3, 4, 1)
            self.head = Sum()

        def forward(self, images: Tensor) -> Tensor:
            x = self.stem(images)
            logits: Tensor = self.head({"low": x, "high": 2 * x})
            return logits

    class Sum(nn.Module):
        def forward(self, maps: Mapping[str, Tensor]) -> Tensor:
            return 10 * maps["low"] + maps["high"]

    teacher = Named()
    head = TeacherHead(teacher, ["head[high]"], IMAGES)
    assert head.taps == ("in:head@0[low]",)
    low = torch.rand(2, 4, 8, 8)
    torch.testing.assert_close(head(low * 0 + 1, {"in:head@0[low]": low}), 10 * low + 1)


class Growing(nn.Module):
    """A model whose head may begin in place."""

    def __init__(self, inplace: bool = True) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 1)
        self.head = nn.Sequential(nn.ReLU(inplace), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Conv2d(4, C, 1))

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.stem(images))
        return logits


def wired(student: nn.Module, teacher: nn.Module, precision: str = "training", **plan: Any) -> dict[str, Any]:
    """Terms of one plan, its shapes measured."""
    facts = {"num_classes": C, "ignore_index": 255}
    batch = ProbeBatch(IMAGES[:1], torch.zeros(1, 64, 64).long(), facts, teacher_precision=precision)  # type: ignore[arg-type]
    taps = TapPair(plan.pop("tap", "stem"), "logits")
    plans = {"simkd": TermPlan("pixel", Term(pixel()).weight, "distill.0", taps=taps, **plan)}
    return wire_terms(plans, student, teacher, batch)


def distiller(student: nn.Module, teacher: nn.Module, terms: dict[str, Any]) -> Distiller:
    return Distiller(student, teacher, Segmentation(C, 255), terms)


def step(module: Distiller) -> Tensor:
    """Run the terms on the images as a training step does."""
    module.train()
    batch = {"images": (IMAGES * 255).to(torch.uint8), "target": torch.zeros(2, 64, 64, dtype=torch.uint8)}
    value: Tensor = module.losses(batch, 1)["distill/simkd"]
    return value


def test_the_gradient_reaches_the_student_and_the_adapter_alone() -> None:
    student, teacher = Growing(inplace=False), settled(Growing())
    module = distiller(student, teacher, wired(student, teacher, adapter="conv", through=("head",)))
    before = copy.deepcopy(teacher.state_dict())
    step(module).backward()
    moved = {name for name, p in module.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert moved == {"student.stem.weight", "student.stem.bias", "terms.simkd.adapter.weight"}
    assert all(p.grad is None and not p.requires_grad for p in teacher.parameters())
    # In evaluation mode: no statistics move, and dropout drops nothing.
    assert all(torch.equal(before[key], value) for key, value in teacher.state_dict().items())
    torch.testing.assert_close(step(module), step(module), rtol=0, atol=0)


def test_the_teacher_is_in_no_checkpoint_and_no_optimizer() -> None:
    student, teacher = Growing(inplace=False), settled(Growing())
    module = distiller(student, teacher, wired(student, teacher, adapter="conv", through=("head",)))
    keys = {key for key in module.state_dict() if not key.startswith("student.")}
    assert keys == {"terms.simkd.adapter.weight"}
    assert {name for name, _ in module.terms.named_parameters()} == {"simkd.adapter.weight"}
    assert copy.deepcopy(module.terms["simkd"]).through is module.terms["simkd"].through


def test_a_head_that_begins_in_place_leaves_the_students_feature() -> None:
    student, teacher = Growing(inplace=False), settled(Growing())
    head = TeacherHead(teacher, ["head"], IMAGES)
    feature = student.stem(IMAGES)
    kept = feature.clone()
    head(feature, {}).sum().backward()
    torch.testing.assert_close(feature, kept, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("way", "fused"), [(("head.1", "head.3"), 1), (("head.0", "head.1", "head.3"), 0), (("head.3",), 2)]
)
def test_fused_batch_norms_change_nothing(way: tuple[str, ...], fused: int) -> None:
    class Normed(nn.Module):
        """A model with batch norms that follow convolutions where a student's feature enters and leaves."""

        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(3, 4, 1)
            norms = [nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.Conv2d(4, C, 1), nn.BatchNorm2d(C)]
            self.head = nn.Sequential(*norms)

        def forward(self, images: Tensor) -> Tensor:
            logits: Tensor = self.head(self.stem(images))
            return logits

    teacher = settled(Normed())
    head = TeacherHead(teacher, way, IMAGES)
    term = Term(pixel(), TapPair("stem", "logits"), None, 1.0, "none", head)
    feature = torch.rand(2, 4, 6, 6)
    before = head(feature, {})
    # Norms that no boundary of the way lies before are fused all the same.
    assert fuse_batch_norms(teacher, [*teacher_paths({"x": term}), *head.boundaries], IMAGES[:1]) == fused
    torch.testing.assert_close(head(feature, {}), before)


def test_fused_batch_norms_of_a_whole_head_are_used() -> None:
    teacher = pspnet()
    head = TeacherHead(teacher, ["head[3]"], IMAGES)
    term = Term(pixel(), TapPair("features.3", "logits"), None, 1.0, "teacher", head)
    terms = {"x": term}
    features_of = FrozenTeacher(copy.deepcopy(teacher), teacher_paths(terms))(IMAGES)
    feature = torch.rand_like(features(teacher)[3])
    before = head(feature, features_of)
    paths = [*teacher_paths(terms), *(path for one in teacher_heads(terms) for path in one.boundaries)]
    assert fuse_batch_norms(teacher, paths, IMAGES[:1]) > 0
    assert not any(isinstance(module, nn.BatchNorm2d) for module in teacher.modules())
    torch.testing.assert_close(head(feature, features_of), before, rtol=1e-4, atol=1e-4)


def test_the_teacher_still_stops_at_its_deepest_tap() -> None:
    teacher = pspnet()
    runs: list[str] = []
    teacher.head.register_forward_hook(lambda *_: runs.append("head"))  # type: ignore[union-attr]
    head = TeacherHead(teacher, ["head[3]"], IMAGES)
    frozen = FrozenTeacher(teacher, ["features.3", *head.taps])
    frozen(IMAGES)
    runs.clear()
    read = frozen(IMAGES)
    assert set(read) == {"features.3", "in:head@0[0]", "in:head@0[1]", "in:head@0[2]"}
    # The taps of what the head takes come before the head runs; the student's feature is what runs it.
    assert runs == []
    head(read["features.3"], read)
    assert runs == ["head"]


@pytest.mark.parametrize("precision", ["training", "32", "bf16"])
def test_the_head_runs_in_the_teachers_precision(precision: str) -> None:
    student, teacher = Growing(inplace=False), settled(Growing())
    seen: list[torch.dtype] = []
    terms = wired(student, teacher, precision, adapter="conv", through=("head",))
    teacher.head[3].register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    frozen = FrozenTeacher(teacher, teacher_paths(terms), precision)  # type: ignore[arg-type]
    module = distiller(student, frozen, terms)
    with torch.autocast("cpu", torch.bfloat16):
        value = step(module)
    value.backward()
    assert value.dtype == torch.float32
    assert set(seen) == {torch.float32 if precision == "32" else torch.bfloat16}
    assert student.stem.weight.grad is not None


def test_channels_of_what_comes_out_are_those_that_the_loss_is_built_for() -> None:
    student, teacher = fpn(), pspnet()
    seen: dict[str, Any] = {}

    class Measuring(nn.Module):
        """A loss that asks for everything."""

        def __init__(self, student_channels: int, teacher_channels: int, teacher_size: tuple[int, int]) -> None:
            super().__init__()
            seen.update(student=student_channels, teacher=teacher_channels, size=teacher_size)

        def forward(self, student: Tensor, teacher: Tensor, target: Any) -> Tensor:
            return student.sum() * 0

    LOSSES["measuring"] = Measuring
    try:
        facts = {"num_classes": C, "ignore_index": 255}
        plan = TermPlan(
            "measuring",
            Term(pixel()).weight,
            "distill.0",
            taps=TapPair("features.3", "logits"),
            adapter="conv",
            through=("head[3]",),
        )
        terms = wire_terms({"m": plan}, student, teacher, ProbeBatch(IMAGES[:1], None, facts))
    finally:
        del LOSSES["measuring"]
    assert seen == {"student": C, "teacher": C, "size": (8, 8)}
    channels = [features(model)[3].shape[1] for model in (student, teacher)]
    assert terms["m"].adapter.weight.shape[:2] == (channels[1], channels[0])  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("way", "message"),
    [
        (("hed",), r"distill\.0: Tap 'hed': Segmentor has no module 'hed'"),
        (
            ("head",),
            r"takes 4 maps, .* gives 1\. Choose the one .*head\[0\], head\[1\], head\[2\], head\[3\]",
        ),
        (("head[7]",), r"takes 4 maps, and the student gives 1"),
        (("head.classifier[0]",), r"through 'head\.classifier\[0\]': the module takes one map"),
        (("head.classifier@1",), r"the teacher runs it 1 times in one forward pass"),
        (("backbone",), r"through 'backbone' gives a list of 4 .*, not a tensor"),
    ],
)
def test_ways_that_do_not_exist(way: tuple[str, ...], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        wired(fpn(), pspnet(), tap="features.3", adapter="conv", through=way)


def test_maps_that_do_not_fit_say_what_would_help() -> None:
    wide = find_model("fpn")(C, backbone="resnet18", channels=16)
    with pytest.raises(RecipeError) as error:
        wired(wide, pspnet(), tap="features.3", through=("head[3]",))
    assert str(error.value).startswith(
        "distill.0: the student's features.3 is [1, 512, 2, 2], what the teacher's head[3] takes is [1, 128, 8, 8]. "
        "Fix it with 'adapter: conv' (a 1x1 convolution 512 -> 128). ("
    )
    with pytest.raises(RecipeError) as error:
        wired(wide, pspnet(), tap="features.3", adapter="conv", through=("head[3]",))
    assert str(error.value).startswith(
        "distill.0: what the teacher's head makes of it is [1, 5, 2, 2], the teacher's logits is [1, 5, 8, 8]. "
        "Fix it with 'resize_to: teacher'. ("
    )


def test_another_teacher_is_refused() -> None:
    student, teacher = Growing(inplace=False), settled(Growing())
    terms = wired(student, teacher, adapter="conv", through=("head",))
    with pytest.raises(UserError, match="goes through 'head' of a teacher that this training does not run"):
        distiller(student, settled(Growing()), terms)
    with pytest.raises(UserError, match="goes through 'head' of a teacher that this training does not run"):
        Distiller(student, None, Segmentation(C, 255), terms)
