"""Run folders of tiny students with random weights, and engines that do what engines should not."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from tiny_data import make_folder, tiny_recipe
from torch import nn

from densekd.data.classes import Classes
from densekd.export.engines.contract import Conversion
from densekd.export.engines.torch import TorchExport
from densekd.export.spec import Precision
from densekd.models import MODELS
from densekd.models.package import config_of, save_package
from densekd.recipe import dump_recipe, parse_recipe

CLASSES = Classes(("class0", "class1", "class2"), ((10, 20, 30), (200, 0, 0), (0, 200, 0)), 255)
PSPNET = {"backbone": "resnet18_025", "channels": 16, "auxiliary_channels": 0}


def vary(model: nn.Module) -> nn.Module:
    """Give statistics to batch norms, so that predictions vary from place to place; return the model."""
    model.train()
    with torch.no_grad():
        for _ in range(4):
            model(torch.rand(4, 3, 64, 64))
    return model.eval()


def make_run(root: Path, name: str = "pspnet", options: dict[str, Any] | None = None, images: int = 2) -> Path:
    """Write a run folder with a student and a recipe whose validation images are 49 x 67; return it."""
    data = make_folder(root / "data", {"train": 1, "val": images}, size=(49, 67))
    folder = root / "run"
    folder.mkdir()
    (folder / "recipe.yaml").write_text(dump_recipe(parse_recipe(tiny_recipe(data), "test")))
    options = PSPNET if options is None else options
    torch.manual_seed(0)
    model = vary(MODELS[name](num_classes=3, **options))
    config = replace(config_of(name, options, CLASSES, "segmentation"), licenses={"data": "for research alone"})
    save_package(model, config, folder / "student")
    return folder


@dataclass(frozen=True)
class BrokenEngine(TorchExport):
    """torch.export, but its artefact is run by a file of the test's.

    Args:
        session: the file.
    """

    session: Path  # type: ignore[misc]
    name: ClassVar[str] = "onnx"
    precisions: ClassVar[tuple[Precision, ...]] = ("fp32", "fp16")

    def convert(self, graph: Any, folder: Path, precision: Any) -> Conversion:
        """Write a file that nothing reads."""
        (folder / "model.bin").write_bytes(b"nothing")
        return Conversion("model.bin", "torch.export")
