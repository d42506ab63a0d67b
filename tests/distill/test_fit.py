"""``densekd.distill``: any two modules, any loader, no recipe."""

import copy
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import densekd
from densekd.distill.fit import Distilled
from densekd.distill.terms import WeightSchedule
from densekd.errors import RecipeError, UserError
from densekd.losses.cwd import CWD
from densekd.models import MODELS

CLASSES = 3


def net(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, channels, 3, padding=1), nn.ReLU(), nn.Conv2d(channels, CLASSES, 1))


@pytest.fixture
def data() -> DataLoader[Any]:
    """Five images whose class is their brightest color."""
    images = torch.randint(0, 256, (5, 3, 16, 16), dtype=torch.uint8)
    return DataLoader(TensorDataset(images, images.argmax(1)), batch_size=2)


CPU = {"accelerator": "cpu"}


def test_the_package_is_the_function_and_imports_no_recipe() -> None:
    """``densekd.distill`` is a package that can be called, however it was imported."""
    code = (
        "import densekd, densekd.distill.terms; assert callable(densekd.distill);"
        "from densekd import distill; from densekd.distill.fit import distill as function;"
        "assert distill.terms and function.__name__ == 'distill';"
        "import sys, densekd.distill.distiller; assert 'densekd.recipe' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_student_learns_and_the_teacher_stays(data: DataLoader[Any]) -> None:
    student, teacher = net(4), net(8)
    before, kept = copy.deepcopy(student.state_dict()), copy.deepcopy(teacher.state_dict())
    images = next(iter(data))[0].clone()
    result = densekd.distill(student, teacher, data, {"cwd": 3.0}, steps=25, val=data, trainer=CPU)
    assert isinstance(result, Distilled)
    assert result.student is student
    assert not student.training
    assert [row["step"] for row in result.history] == [10, 20, 25]
    assert set(result.history[0]) == {"step", "loss", "task/ce", "distill/cwd"}
    for row in result.history:
        assert row["loss"] == pytest.approx(row["task/ce"] + row["distill/cwd"], rel=1e-5)
    assert result.history[-1]["loss"] < result.history[0]["loss"]
    assert 0 <= result.scores["miou"] <= 100
    assert any(not torch.equal(before[name], value) for name, value in student.state_dict().items())
    assert all(torch.equal(kept[name], value) for name, value in teacher.state_dict().items())
    assert torch.equal(images, next(iter(data))[0])


def test_equal_seeds_give_equal_students(data: DataLoader[Any]) -> None:
    students = []
    for _ in range(2):
        torch.manual_seed(1)
        densekd.distill(net(4), student := net(4), data, {}, steps=1, trainer=CPU)
        students.append(student.state_dict())
    assert all(torch.equal(students[0][name], students[1][name]) for name in students[0])


@pytest.mark.parametrize("form", ["float", "dict", "list", "generator"])
def test_any_form_of_data_is_the_same_data(data: DataLoader[Any], form: str) -> None:
    def changed() -> Iterator[Any]:
        for images, labels in list(data) * 2:
            yield {
                "float": (images / 255, labels),
                "dict": {"images": images, "target": labels},
                "list": [images, labels],
                "generator": (images, labels),
            }[form]

    student = net(4)
    other, teacher = copy.deepcopy(student), net(8)
    densekd.distill(student, teacher, data, {"cwd": 3.0}, steps=6, trainer=CPU)
    given = changed() if form == "generator" else list(changed())
    densekd.distill(other, teacher, given, {"cwd": 3.0}, steps=6, trainer=CPU)
    assert all(torch.equal(a, b) for a, b in zip(student.parameters(), other.parameters(), strict=True))


def test_without_labels_only_the_teacher_is_learned_from(data: DataLoader[Any]) -> None:
    student, teacher = net(4), net(8)
    images = [batch for batch, _ in data]
    result = densekd.distill(student, teacher, images, {"l2": 1.0}, steps=30, trainer=CPU)
    assert set(result.history[0]) == {"step", "loss", "distill/l2"}
    assert result.history[-1]["loss"] < result.history[0]["loss"]
    with pytest.raises(RecipeError, match=r"losses\['ifvd'\]"):
        densekd.distill(student, teacher, images, {"ifvd": 1.0}, steps=1, trainer=CPU)


def test_terms_of_every_kind(data: DataLoader[Any]) -> None:
    losses = {
        "features": {"method": "l2", "weight": 2.0, "student": "0", "teacher": "0", "adapter": "conv"},
        "cwd": {"weight": WeightSchedule(1.0, warmup=5), "options": {"temperature": 4.0}},
        "fan": {"method": "l2", "weight": 1.0, "student": "{1,2}", "teacher": "{1,2}", "adapter": "conv"},
        "densekd.losses.cwd:CWD": 1.0,
        "built": densekd.Term(CWD(2.0), weight=0.5),
    }
    result = densekd.distill(net(4), net(8), data, losses, steps=2, trainer=CPU)
    names = {"features", "cwd", "fan-0", "fan-1", "CWD", "built"}
    assert {name for name in result.history[0] if name.startswith("distill/")} == {f"distill/{n}" for n in names}


def test_detectors_on_torchvisions_targets() -> None:
    boxes = torch.tensor([[4.0, 4.0, 40.0, 40.0]])
    target = {"boxes": boxes, "labels": torch.tensor([1])}
    images = [torch.randint(0, 256, (3, 50, 60), dtype=torch.uint8), torch.randint(0, 256, (3, 60, 40))]
    batches = [((images[0], images[1].to(torch.uint8)), (target, target))]
    options = {"backbone": "resnet18_025", "channels": 16, "depth": 1}
    student, teacher = MODELS["gfl"](2, **options), MODELS["gfl"](2, **options)
    taps = {"student": "cls.{0,1}", "teacher": "cls.{0,1}"}
    losses = {"cwd": {"weight": 5.0, **taps}}
    result = densekd.distill(student, teacher, batches, losses, steps=2, val=batches, trainer=CPU)
    assert {"distill/cwd-0", "distill/cwd-1"} <= set(result.history[0])
    assert "ap" in result.scores


def test_optimizer_and_trainer_are_the_users(data: DataLoader[Any]) -> None:
    seen: list[str] = []

    class Note(L.Callback):
        def on_train_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
            seen.append(type(trainer.optimizers[0]).__name__)
            seen.append(trainer.precision)
            seen.append(str(trainer.global_step))

    options = {**CPU, "callbacks": [Note()], "accumulate_grad_batches": 2, "precision": "bf16-mixed"}
    optimizer = partial(torch.optim.RMSprop, lr=1e-3)
    densekd.distill(net(4), net(8), data, {"cwd": 1.0}, steps=3, optimizer=optimizer, trainer=options)
    assert seen == ["RMSprop", "bf16-mixed", "3"]
    assert len(options["callbacks"]) == 1


class Bad(nn.Module):
    """A loss that is never finite."""

    def forward(self, student: Tensor, teacher: Tensor, target: Tensor) -> Tensor:
        return student.sum() * float("nan")


@pytest.mark.parametrize(
    ("losses", "message"),
    [
        ({"cwdd": 1.0}, r"losses\['cwdd'\]: unknown loss 'cwdd'\. Did you mean 'cwd'\?"),
        ({"cwd": {"options": {}}}, r"losses\['cwd'\]: a weight, a Term, or a mapping with 'weight'"),
        (
            {"cwd": {"weight": 1.0, "adaptor": "conv"}},
            r"unknown key 'adaptor'\. Did you mean 'adapter'",
        ),
        ({"cwd": {"weight": 1.0, "options": {"temperatur": 1}}}, r"losses\['cwd'\]\.options: unknown option"),
        ({"l2": {"weight": 1.0, "student": "0", "teacher": "0"}}, r"'adapter: conv' \(a 1x1 convolution 4 -> 8\)"),
        ({"l2": {"weight": 1.0, "student": "nowhere"}}, "Tap 'nowhere': Sequential has no module 'nowhere'"),
        ({"l2": {"weight": 1.0, "student": "{0,1}"}}, r"losses\['l2'\]: .*2.*1"),
        ({"bad": densekd.Term(Bad())}, r"The loss 'distill/bad' is nan at step 1"),
    ],
)
def test_what_does_not_fit_is_named(data: DataLoader[Any], losses: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        densekd.distill(net(4), net(8), data, losses, steps=1, trainer=CPU)


class Shaped(nn.Module):
    """A teacher of whose features one module makes tokens, or puts their channels last."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 8, 4, 4)
        self.shaped = nn.Sequential(nn.Flatten(2)) if kind == "tokens" else Last()
        self.head = nn.Conv2d(8, CLASSES, 1)

    def forward(self, images: Tensor) -> Tensor:
        features = self.body(images)
        self.shaped(features)
        logits: Tensor = self.head(features)
        return logits


class Last(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.permute(0, 2, 3, 1)


class Tokens(nn.Module):
    """A loss of one's own that takes tokens."""

    def forward(self, student: Tensor, teacher: Tensor, target: Tensor) -> Tensor:
        return (student.flatten(2).mean(1) - teacher.mean(1)).square().mean()


@pytest.mark.parametrize("method", ["pkd", "cwd", "l2"])
def test_tokens_and_channels_last_are_no_maps(method: str) -> None:
    """Pkd would resize a map with its channels last, and compare other things than places."""
    batches = [(torch.rand(2, 3, 16, 24), torch.randint(CLASSES, (2, 16, 24)))]
    loss = {method: {"weight": 1.0, "student": "body", "teacher": "shaped", "adapter": "conv"}}
    for kind, message in (
        ("tokens", r"the teacher's shaped is \[2, 8, 24\]: tokens, or no map \[B, C, H, W\]"),
        ("last", r"the teacher's shaped is \[2, 4, 6, 8\], which is \[B, H, W, C\] of images of 16 x 24"),
    ):
        with pytest.raises(RecipeError, match=message):
            densekd.distill(Shaped(kind), Shaped(kind), batches, loss, steps=1, trainer=CPU)


def test_tokens_go_where_they_have_a_meaning() -> None:
    batches = [(torch.rand(2, 3, 16, 24), torch.randint(CLASSES, (2, 16, 24)))]
    own = densekd.Term(Tokens(), ("body", "shaped"))
    alike = {"weight": 1.0, "student": "shaped", "teacher": "shaped"}
    result = densekd.distill(
        Shaped("tokens"), Shaped("tokens"), batches, {"own": own, "l2": alike}, steps=1, trainer=CPU
    )
    assert result.history[-1]["distill/l2"] > 0


def test_data_that_ends(data: DataLoader[Any]) -> None:
    with pytest.raises(UserError, match="The data gave no batch"):
        densekd.distill(net(4), None, [], {}, steps=1, trainer=CPU)
    batches = (batch for batch in data)
    with pytest.raises(UserError, match="The data ended 2 batches too early; a generator can be read only once"):
        densekd.distill(net(4), None, batches, {}, steps=5, trainer=CPU)


def test_what_cannot_be_trained_is_refused_first(data: DataLoader[Any]) -> None:
    student = net(4)
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"steps": 0}, "steps: an integer of at least 1, got 0"),
        ({"steps": 2.5}, "steps: an integer of at least 1, got 2.5"),
        ({"teacher": None}, "there is none"),
        ({"teacher": "runs/teacher"}, "The teacher is a str"),
        ({"teacher": student}, "one module"),
        ({"losses": ["cwd"]}, "losses: a mapping"),
        ({"losses": {"cwd": -1.0}}, "at least 0"),
        ({"losses": {"cwd": float("nan")}}, "at least 0"),
        ({"losses": {"cwd": {"weight": "3"}}}, "at least 0"),
        ({"losses": {"mse": densekd.Term(nn.MSELoss())}}, "is called with"),
        ({"optimizer": torch.optim.SGD(student.parameters())}, "optimizer: a function of the parameters"),
    ]
    for change, message in wrong:
        arguments = {"student": student, "teacher": net(4), "data": data, "losses": {"cwd": 3.0}, "steps": 1}
        with pytest.raises(UserError, match=message):
            densekd.distill(**{**arguments, "trainer": CPU, **change})


def test_what_is_no_batch_of_the_students_is_refused() -> None:
    images = torch.rand(2, 3, 16, 16)
    labels = torch.randint(CLASSES, (2, 16, 16))
    wrong = [
        (images, labels + 1, "0 to 2"),
        (images, labels - 1, "0 to 2"),
        (images, labels[:, None], "Labels are"),
        (images, labels[:1], "Labels are"),
        (images.numpy(), labels.numpy(), "made of tensors"),
    ]
    for given, target, message in wrong:
        with pytest.raises(UserError, match=message):
            densekd.distill(net(4), None, [(given, target)], {}, steps=1, trainer=CPU)
    # A model that normalizes its images takes them in [0, 1]; of any other nobody knows.
    student = MODELS["fpn"](CLASSES, backbone="resnet18_025", channels=8)
    with pytest.raises(UserError, match="Segmentor takes float"):
        densekd.distill(student, None, [(images * 255, labels)], {}, steps=1, trainer=CPU)
