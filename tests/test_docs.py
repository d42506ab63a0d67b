"""The Python of README, docs/python.md, docs/questions.md and a wrapped teacher runs as printed, but for the steps."""

import csv
import json
import math
import re
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
import yaml
from lightning.pytorch.loggers import CSVLogger
from PIL import Image
from tiny_data import tiny_recipe
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import densekd
from densekd.builders.build import build
from densekd.data.coco import coco
from densekd.models import MODELS
from densekd.recipe import parse_recipe

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
    # Of three labelled pixels the hardest two: -log 0.2 and -log 0.5, weighed by (1 - p)^2 where that is asked.
    logits = torch.tensor([[0.9, 0.5, 0.2, 0.1], [0.1, 0.5, 0.8, 0.9]]).log().view(1, 2, 1, 4)
    target = torch.tensor([[[0, 0, 0, 255]]])
    hard = names["HardPixels"](ignore_index=255, share=0.5)(logits, logits, target)
    torch.testing.assert_close(hard, torch.tensor((math.log(5) + math.log(2)) / 2))
    focal = names["HardPixels"](ignore_index=255, share=0.5, gamma=2.0)(logits, logits, target)
    torch.testing.assert_close(focal, torch.tensor((0.64 * math.log(5) + 0.25 * math.log(2)) / 2))
    assert names["HardPixels"](ignore_index=255)(logits, logits, torch.full_like(target, 255)) == 0


def questions_names() -> dict[str, Any]:
    names: dict[str, Any] = {}
    for block in blocks("docs/questions.md"):
        exec(block, names)
    return names


def test_boxes_become_labels(tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for name in ("a.png", "b.png"):
        Image.new("RGB", (60, 40)).save(pictures / name)
    found = [
        {"image_id": 7, "file_name": "b.png", "category_id": 3, "bbox": [1, 2, 30, 20], "score": 0.9},
        {"image_id": 7, "file_name": "b.png", "category_id": 5, "bbox": [1, 2, 30, 20], "score": 0.4},
    ]
    (tmp_path / "detections.json").write_text(json.dumps(found))
    categories = [{"id": 3, "name": "cat"}, {"id": 5, "name": "dog"}]
    (tmp_path / "val.json").write_text(json.dumps({"images": [], "annotations": [], "categories": categories}))
    places = (tmp_path / "detections.json", pictures, tmp_path / "val.json", tmp_path / "boxes.json")
    questions_names()["boxes_as_labels"](*map(str, places))
    files = coco(tmp_path, "boxes.json@pictures")
    assert files.classes.names == ("cat", "dog")
    assert [item.stem for item in files.items] == ["a", "b"]
    assert [item.truth.boxes.tolist() for item in files.items] == [[], [[1, 2, 31, 22]]]
    assert files.items[1].truth.labels.tolist() == [0]


@pytest.mark.filterwarnings("ignore::UserWarning:lightning")
def test_the_callback_logs_both_norms(tmp_path: Path) -> None:
    batches = [(torch.rand(2, 3, 8, 8), torch.randint(3, (2, 8, 8)))] * 2
    logger = CSVLogger(tmp_path)
    trainer = {"accelerator": "cpu", "callbacks": [questions_names()["Watch"]()], "logger": logger}
    densekd.distill(nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1), batches, {"l1": 1.0}, steps=2, val=batches, trainer=trainer)
    with (Path(logger.log_dir) / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for name in ("mine/gradient", "mine/norm"):
        (value,) = [float(row[name]) for row in rows if row[name]]
        assert value > 0, name


def test_a_segmentor_teaches_from_twice_the_size(
    recipe: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The module and the term of docs/questions.md: the student's logits are brought to the teacher's."""
    page = (ROOT / "docs/questions.md").read_text(encoding="utf-8")
    (module,) = re.findall(r"```python\n(# larger.py\n.*?)```", page, re.DOTALL)
    (terms,) = re.findall(r"```yaml\n(teacher: [^`]*?larger:larger[^`]*?resize_to[^`]*?)```", page)
    (tmp_path / "larger.py").write_text(module)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(densekd, "load", lambda _: MODELS["fpn"](3, backbone="resnet18_025", channels=16))
    distiller = build(parse_recipe(recipe | yaml.safe_load(terms), "larger")).distiller
    images = torch.rand(2, 3, 32, 32)
    taught = distiller.teacher(images)["logits"]
    assert taught.shape[2:] == tuple(2 * side for side in distiller.student(images).shape[2:])
    losses = distiller.losses({"images": images, "target": torch.zeros(2, 32, 32, dtype=torch.long)}, 1)
    assert losses["distill/cwd"] > 0


def test_a_detector_learns_without_boxes(
    detection_recipe: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The recipe of docs/guides/unlabelled.md, on YOLO's layout with pictures alone."""
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/guides/unlabelled.md").read_text("utf-8"), re.DOTALL)
    content = yaml.safe_load(block)
    for split in ("train", "val"):
        folder = tmp_path / "data/pictures/images" / split
        folder.mkdir(parents=True)
        for name in ("a.png", "b.png"):
            Image.new("RGB", (256, 128)).save(folder / name)
    lists = {"path": ".", "train": "images/train", "val": "images/val", "names": ["car", "person"]}
    (tmp_path / "data/pictures/data.yaml").write_text(yaml.safe_dump(lists))
    model = detection_recipe["student"]
    content["data"]["batch_size"] = 2
    content["student"] = model
    content["teacher"] = model | {"checkpoint": "untrained"}
    distiller = build(parse_recipe(content, "boxes")).distiller
    none = {
        "boxes": torch.zeros(2, 0, 4),
        "labels": torch.zeros(2, 0, dtype=torch.long),
        "sizes": torch.tensor([[128, 256]] * 2),
    }
    # The coarsest level has two places: of one CWD knows nothing.
    losses = distiller.losses({"images": torch.rand(2, 3, 128, 256), **none}, 1)
    assert len(losses) == 9
    assert all(value > 0 for value in losses.values())


def test_boxes_that_are_kept_can_be_more() -> None:
    model = MODELS["gfl"](2, backbone="resnet18_025", channels=16, depth=1)
    questions_names()["keep"](model, 300)
    assert model.head.selection == replace(MODELS["gfl"](2, channels=8, depth=0).head.selection, most=300)


@pytest.mark.filterwarnings("ignore::UserWarning:lightning")
def test_two_stages(recipe: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The recipes of docs/migrating.md: hints leave the head alone, and the second run begins with the first."""
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs/migrating.md").read_text(encoding="utf-8")
    first, second = (yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL))
    first["student"]["options"] = {"backbone": "resnet18_025", "channels": 16}
    teacher = {"model": "fpn", "options": {"backbone": "resnet18_025", "channels": 32}, "checkpoint": "untrained"}
    for content in (first, second):
        content["teacher"] = teacher
        content["training"] = recipe["training"] | {"steps": 1}
    built = build(parse_recipe(recipe | first, "first"))
    begun = {key: value.clone() for key, value in built.distiller.student.state_dict().items()}
    densekd.train(recipe | first, "runs/first", accelerator="cpu")
    trained = densekd.load("runs/first").state_dict()
    still = {key for key in begun if torch.equal(begun[key], trained[key])}
    assert {key for key, _ in built.distiller.student.head.named_parameters(prefix="head")} <= still
    assert "backbone.conv1.weight" not in still
    goes_on = build(parse_recipe(recipe | second, "second")).distiller.student.state_dict()
    assert all(torch.equal(goes_on[key], trained[key]) for key in trained)


def test_a_segmentor_of_mmsegmentation_is_wrapped() -> None:
    (block,) = BLOCK.findall((ROOT / "docs/guides/checkpoints.md").read_text(encoding="utf-8"))
    names: dict[str, Any] = {}
    exec(block, names)

    class Net(nn.Module):
        def encode_decode(self, inputs: Tensor, batch_img_metas: list[dict[str, Any]]) -> Tensor:
            assert [meta["img_shape"] for meta in batch_img_metas] == [inputs.shape[2:]] * len(inputs)
            return inputs

    mean = torch.tensor([123.675, 116.28, 103.53]).view(1, 3, 1, 1) / 255
    output = names["MMSeg"](Net())(mean.expand(2, 3, 4, 5))
    torch.testing.assert_close(output, torch.zeros(2, 3, 4, 5), rtol=0, atol=1e-6)


def test_tokens_become_a_map() -> None:
    (block,) = [one for one in blocks("docs/models.md") if one.startswith("# tokens.py")]
    names: dict[str, Any] = {}
    exec(block, names)
    grid = torch.arange(6.0).view(1, 1, 2, 3).expand(2, 4, 2, 3)

    class Net(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            tokens = grid.flatten(2).transpose(1, 2)
            return torch.cat([torch.full((2, 1, 4), -1.0), tokens], 1)

    assert torch.equal(names["Tapped"](Net())(torch.zeros(2, 3, 32, 48)), grid)
