"""A student that is NaN in evaluation alone is found at its first validation, and nothing is overwritten."""

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from rich.console import Console
from tiny_data import tiny_recipe
from torch import Tensor, nn
from training_runs import parsed, run

from densekd.builders.build import build
from densekd.data import DATASETS
from densekd.data.classes import Classes
from densekd.data.files import SegmentationFiles
from densekd.distill.distiller import Distiller
from densekd.distill.terms import Term
from densekd.errors import UserError
from densekd.models.fpn import fpn
from densekd.models.open import open_model
from densekd.models.package import config_of, save_package
from densekd.ops.finite import NotFiniteError
from densekd.run.callbacks import FiniteGuard
from densekd.run.evaluate import evaluate_path, predictor_of
from densekd.run.finish import finish
from densekd.run.folder import RunFolder
from densekd.tasks import Segmentation


class NaNInEvaluation(nn.Module):
    """Finite while it learns, as a student whose running variances overflowed."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, num_classes, 3, padding=1)
        self.last = OnlyInTraining()

    def forward(self, images: Tensor) -> Any:
        return self.last(self.body(images))


class OnlyInTraining(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if self.training else x * math.nan


def recipe_of(root: Path, **training: Any) -> dict[str, Any]:
    content = tiny_recipe(root)
    content["student"] = {"model": f"{__name__}:NaNInEvaluation"}
    content["training"] |= {"steps": 6, "checkpoint_every": 1, "validate_every": 2, **training}
    return content


def test_it_is_found_at_the_first_validation(data_root: Path, tmp_path: Path) -> None:
    message = (
        r"The student, in evaluation after step 2: the logits are not finite.*"
        r"The first module with such an output is 'last' \(OnlyInTraining\).*In training it may be finite"
    )
    with pytest.raises(NotFiniteError, match=message):
        run(parsed(recipe_of(data_root)), tmp_path / "run")
    assert not (tmp_path / "run" / "results.json").exists()
    assert not (tmp_path / "run" / "student").exists()
    # The state of step 1 is there.
    assert torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)["global_step"] == 1


def test_an_earlier_student_is_kept(data_root: Path, tmp_path: Path) -> None:
    content = tiny_recipe(data_root)
    run(parsed(content), tmp_path / "run")
    folder = tmp_path / "run"
    before = {name: (folder / name).read_bytes() for name in ("student/model.safetensors", "results.json")}
    built = build(parsed(content))
    # Finite weights whose product is not.
    with torch.no_grad():
        for parameter in built.distiller.student.parameters():
            parameter.fill_(1e30)
    with pytest.raises(NotFiniteError, match="The student: the logits are not finite"):
        finish(parsed(content), built, RunFolder(folder), {}, Console(quiet=True))
    assert {name: (folder / name).read_bytes() for name in before} == before


def overflowing() -> nn.Module:
    """Finite weights, infinite outputs."""
    model = fpn(3, "resnet18_025", 16).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(1e30)
    return model


def test_predictions_and_scores_are_refused(data_root: Path, tmp_path: Path) -> None:
    names = ("class0", "class1", "class2")
    classes = Classes(names, ((0, 0, 0), (1, 1, 1), (2, 2, 2)), 255)
    options = {"backbone": "resnet18_025", "channels": 16}
    save_package(overflowing(), config_of("fpn", options, classes, "segmentation"), tmp_path / "student")
    image = data_root / "images" / "val" / "000.png"
    predictor = predictor_of(open_model(tmp_path / "student"), tmp_path / "student", ())
    with pytest.raises(NotFiniteError, match=r"000\.png: the logits are not finite"):
        predictor.predict_folder(image, tmp_path / "out")
    assert not (tmp_path / "out" / "labels").exists()
    with pytest.raises(NotFiniteError, match=r"student: the logits are not finite"):
        evaluate_path(tmp_path / "student", data_root, "val")
    files = DATASETS["folder"](data_root, "val")
    assert isinstance(files, SegmentationFiles)
    with pytest.raises(NotFiniteError):
        Segmentation(3, 255).scores(overflowing(), files, None)


def test_a_teacher_is_refused_before_the_first_step(data_root: Path, tmp_path: Path) -> None:
    content = tiny_recipe(data_root)
    content["teacher"] = {"model": f"{__name__}:Overflowing", "checkpoint": "untrained"}
    content["distill"] = [{"method": "cwd", "weight": 1}]
    with pytest.raises(UserError, match=r"The teacher cannot teach: its 'logits' is not finite"):
        run(parsed(content), tmp_path / "run")
    assert not (tmp_path / "run").exists()


class Overflowing(nn.Module):
    """A teacher of finite weights and infinite outputs."""

    def __init__(self, num_classes: int = 3) -> None:
        super().__init__()
        self.model = overflowing()

    def forward(self, images: Tensor) -> Any:
        return self.model(images)


class Logarithm(nn.Module):
    """A teacher that is minus infinity for black images."""

    def forward(self, images: Tensor) -> Tensor:
        return images.log()


def test_the_teacher_is_named_where_it_is_the_cause() -> None:
    student = nn.Conv2d(3, 3, 1)
    module = Distiller(student, Logarithm(), Segmentation(3, 255), {"l2": Term(nn.MSELoss())})
    images, labels = torch.rand(2, 3, 4, 4), torch.zeros(2, 4, 4, dtype=torch.int64)
    assert module.teacher_not_finite((images, labels)) is None
    images[0, 0, 0, 0] = 0
    assert module.teacher_not_finite((images, labels)) == "logits"
    guard = FiniteGuard(1)
    outputs = {"losses": {"distill/l2": torch.tensor(math.inf)}}
    with pytest.raises(UserError, match=r"'distill/l2' is not finite at step 3, because the teacher's 'logits' is not"):
        guard.on_train_batch_end(SimpleNamespace(global_step=3), module, outputs, (images, labels), 0)  # type: ignore[arg-type]
