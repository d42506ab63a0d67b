"""The distiller from live objects: no recipe, any two modules, one step by hand."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

from densekd.data.segmentation import Sample
from densekd.distiller import Distiller
from densekd.losses.cirkd_channel import CIRKDChannel
from densekd.losses.cwd import CWD
from densekd.optim import Optimisation
from densekd.tasks import Segmentation
from densekd.terms import Pair, Term, WeightSchedule


class Net(nn.Module):
    """A little segmentation model with an auxiliary output."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, channels, 3, padding=1)
        self.classifier = nn.Conv2d(channels, 3, 1)
        self.aux = nn.Conv2d(channels, 3, 1)
        self.taps = {"logits": "classifier", "aux": "aux"}

    def forward(self, images: Tensor) -> Tensor:
        """Return logits at stride 1."""
        x = self.body(images).relu()
        self.aux(x)
        logits: Tensor = self.classifier(x)
        return logits


@pytest.fixture
def batch() -> dict[str, Tensor]:
    return {
        "images": torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8),
        "target": torch.randint(0, 3, (2, 8, 8), dtype=torch.uint8),
    }


@pytest.fixture
def distiller() -> Distiller:
    term = Term(CWD(4.0), Pair("logits", "logits"), nn.Identity(), WeightSchedule(2.0, warmup=4), "none")
    return Distiller(Net(4), Net(6), Segmentation(3, 255), {"cwd": term}, Optimisation("sgd", 0.1, 10))


def trainer(**options: Any) -> L.Trainer:
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    return L.Trainer(accelerator="cpu", devices=1, **quiet, **options)


def test_the_sum_is_the_formula(distiller: Distiller, batch: dict[str, Tensor]) -> None:
    distiller._trainer = None  # a step by hand, outside a training: the first one
    result = distiller.training_step(batch, 0)
    images = batch["images"].float() / 255
    student, teacher = distiller.student(images), distiller.teacher.model(images)  # type: ignore[union-attr]
    target = batch["target"].long()
    aux = distiller.student.get_submodule("aux")(distiller.student.get_submodule("body")(images).relu())
    ce = nn.functional.cross_entropy(student, target)
    expected = {
        "task/ce": ce,
        "task/aux": 0.4 * nn.functional.cross_entropy(aux, target),
        "distill/cwd": 2.0 * (1 / 4) * CWD(4.0)(student, teacher, target),  # the warm-up's first step of four
    }
    assert result["losses"].keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(result["losses"][name], value.detach(), msg=name)
    torch.testing.assert_close(result["loss"], sum(expected.values()))
    assert not any(value.requires_grad for value in result["losses"].values())


def test_a_term_of_weight_zero_is_not_computed(batch: dict[str, Tensor]) -> None:
    class Never(nn.Module):
        def forward(self, *arguments: Any) -> Tensor:
            raise AssertionError

    term = Term(Never(), Pair("logits", "logits"), nn.Identity(), WeightSchedule(1.0, 2, "jump"), "none")
    made = Distiller(Net(4), Net(6), Segmentation(3, 255), {"never": term}, Optimisation("sgd", 0.1, 10))
    assert made.training_step(batch, 0)["losses"]["distill/never"] == 0


def test_lightning_fits_it_without_a_recipe(distiller: Distiller, batch: dict[str, Tensor]) -> None:
    before = {k: v.clone() for k, v in distiller.student.state_dict().items()}
    teacher = {k: v.clone() for k, v in distiller.teacher.model.state_dict().items()}  # type: ignore[union-attr]
    sample = Sample(batch["images"][0], batch["target"][0])
    loaders = DataLoader([batch] * 3, batch_size=None), DataLoader([[sample]], batch_size=None)  # type: ignore[arg-type, list-item]
    fitted = trainer(max_steps=3, max_epochs=1, num_sanity_val_steps=0, log_every_n_steps=1)
    fitted.fit(distiller, *loaders)
    assert distiller.global_step == 3
    assert 0 <= fitted.callback_metrics["val/miou"] <= 100
    assert any(not torch.equal(before[k], v) for k, v in distiller.student.state_dict().items())
    assert all(torch.equal(teacher[k], v) for k, v in distiller.teacher.model.state_dict().items())  # type: ignore[union-attr]


def test_processes_exchange_the_buffers_of_the_student_alone(tmp_path: Path) -> None:
    """A queue may hold gigabytes, which would travel at every step."""
    student, teacher = (nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)) for _ in range(2))
    term = Term(CIRKDChannel(4, 4, (8, 8)), Pair("logits", "logits"), nn.Identity(), WeightSchedule(1.0), "none")
    distiller = Distiller(
        student, teacher, Segmentation(4, 255, torch.ones(4)), {"channel": term}, Optimisation("sgd", 0.1, 10)
    )
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1)
    try:
        sent = DistributedDataParallel(distiller).named_module_buffers
    finally:
        dist.destroy_process_group()
    assert set(sent) == {f"student.1.{name}" for name in ("running_mean", "running_var", "num_batches_tracked")}


def test_no_recipe_is_imported() -> None:
    code = "import sys, densekd.distiller; assert 'densekd.recipe' not in sys.modules and 'yaml.x' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
