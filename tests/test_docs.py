"""The Python of README, docs/python.md and docs/questions.md runs as it is printed, but for the number of steps."""

import re
from functools import partial
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from lightning.pytorch.loggers import CSVLogger
from PIL import Image
from tiny_data import tiny_recipe
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import densekd
from densekd.models import MODELS

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(name: str) -> list[str]:
    """Return the Python blocks of a page, with hardly any steps."""
    found = BLOCK.findall((ROOT / name).read_text(encoding="utf-8"))
    return [re.sub(r"steps=\d+", "steps=2", block) for block in found]


class MyLoss(nn.Module):
    def forward(self, student: Tensor, teacher: Tensor, target: Any) -> Tensor:
        return (student - teacher).square().mean()


@pytest.fixture
def folder(data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a recipe, the run of a student and a picture, as the pages take for granted."""
    monkeypatch.chdir(tmp_path)
    recipe = tiny_recipe(data_root)
    recipe["training"]["steps"] = 1
    densekd.train(recipe, "runs/student", accelerator="cpu")
    (tmp_path / "pictures").mkdir()
    for path in ("street.jpg", "pictures/street.jpg"):
        Image.new("RGB", (60, 40)).save(path)
    return tmp_path


# Lightning warns of short epochs and missing workers.
@pytest.mark.filterwarnings("ignore::UserWarning:lightning")
@pytest.mark.parametrize("block", blocks("README.md"))
def test_readme(block: str, folder: Path) -> None:
    exec(block, {})


@pytest.mark.filterwarnings("ignore::UserWarning:lightning")
def test_python_page(folder: Path, data_root: Path) -> None:
    batches = DataLoader(TensorDataset(torch.rand(4, 3, 64, 64), torch.randint(3, (4, 64, 64))), batch_size=2)
    recipe = (folder / "runs" / "student" / "recipe.yaml").read_text()
    (folder / "student.yaml").write_text(recipe.replace("name: tiny", "name: other"))

    names = {
        "densekd": densekd, "lightning": lightning, "nn": nn, "partial": partial, "torch": torch, "MyLoss": MyLoss,
        "student": MODELS["fpn"](3, backbone="resnet18_025"), "teacher": MODELS["fpn"](3, backbone="resnet18"),
        "train": batches, "val": batches, "picture": "street.jpg", "any_module": nn.Conv2d(3, 3, 1),
        "WandbLogger": lambda: CSVLogger(folder / "logs"),
    }  # fmt: skip
    for block in blocks("docs/python.md"):
        exec(block.replace("devices=2", "accelerator='cpu'"), names)
    # The losses that are only written down are losses.
    densekd.distill(
        names["student"], names["teacher"], batches, names["losses"], steps=1, trainer={"accelerator": "cpu"}
    )


def test_questions_page(monkeypatch: pytest.MonkeyPatch) -> None:
    names: dict[str, Any] = {}
    for block in blocks("docs/questions.md"):
        exec(block, names)
    monkeypatch.setattr(densekd, "load", {"runs/teacher-a": nn.Identity(), "runs/teacher-b": nn.Flatten(0, 0)}.get)
    assert torch.equal(names["both"]()(torch.ones(1, 2)), torch.ones(1, 2))
    # Each class has half of two pixels, one of which it should have: (2 * 0.5 + 1) / (1 + 1 + 1); the third is void.
    dice = names["Dice"](num_classes=2, ignore_index=255)
    loss = dice(torch.zeros(1, 2, 1, 3), torch.zeros(1, 2, 1, 3), torch.tensor([[[0, 1, 255]]]))
    torch.testing.assert_close(loss, torch.tensor(1 / 3))
