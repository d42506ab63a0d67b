"""Hugging Face hub: save, load and push students as ``huggingface_hub`` does with any model."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import huggingface_hub
from huggingface_hub import ModelHubMixin
from torch import Tensor, nn

from densekd.atomic import write_text
from densekd.data.picture import RGB, band_count
from densekd.exported import refresh_card
from densekd.models import contract
from densekd.models.locate import PACKAGE_FILES
from densekd.models.open import open_model
from densekd.models.package import PackageConfig, save_package

# Those of the mixin's options that say where a package comes from.
_DOWNLOAD = ("revision", "cache_dir", "force_download", "token")
# What the hub calls a task, and what people search for; other tasks go by their own name.
_TAGS = {
    "segmentation": ("image-segmentation", "semantic-segmentation"),
    "detection": ("object-detection", "object-detection"),
}
_USE = "output = model(torch.rand(1, 3, 512, 512))  # RGB in [0, 1]; normalization is inside"
_USES = {
    "detection": """output = model(torch.rand(1, 3, 480, 640))  # RGB in [0, 1]; normalization is inside
(found,) = model.detect(output, torch.tensor([[480, 640]]))  # found.boxes [N, 4], found.scores, found.labels""",
}


class HubModel(nn.Module, ModelHubMixin):
    """A student package with ``save_pretrained``, ``from_pretrained`` and ``push_to_hub``.

    The folder it writes is a student package with a model card, so ``densekd.load`` reads it as
    well.

    Args:
        model: the student.
        package: what it is.

    Shape:
        float RGB in [0, 1], ``[B, 3, H, W]`` -> logits ``[B, C, h, w]``.
    """

    def __init__(self, model: nn.Module, package: PackageConfig) -> None:
        super().__init__()
        self.model = model
        self.package = package

    def forward(self, images: Tensor) -> Tensor:
        """Return the student's logits."""
        logits: Tensor = self.model(images)
        return logits

    def _save_pretrained(self, save_directory: Path) -> None:
        package = self.package
        # A description that was written by hand may leave the task out.
        if contract.is_detector(self.model):
            package = replace(package, task="detection")
        save_package(self.model, package, save_directory)
        write_text(save_directory / "README.md", card(package))
        refresh_card(save_directory)

    @classmethod
    def _from_pretrained(cls, *, model_id: str, **options: Any) -> "HubModel":
        folder = Path(model_id)
        if not folder.is_dir():
            known = {name: options[name] for name in _DOWNLOAD}
            fetched = huggingface_hub.snapshot_download(model_id, allow_patterns=PACKAGE_FILES, **known)
            folder = Path(fetched)
        opened = open_model(folder)
        return cls(opened.model, opened.config)


def card(package: PackageConfig) -> str:
    """Return a model card: the model, its classes, how it is used, and the licenses that its recipe named."""
    options = json.dumps(package.options)
    classes = ", ".join(package.classes)
    pipeline, topic = _TAGS.get(package.task, ("", package.task.rpartition(":")[2]))
    use = _USES.get(package.task, _USE)
    if package.bands != RGB:
        count = band_count(package.bands)
        use = use.replace("rand(1, 3,", f"rand(1, {count},").replace("RGB in", f"bands {package.bands} in")
    pipeline_line = f"pipeline_tag: {pipeline}\n" if pipeline else ""
    licenses = "".join(f"- License of the {what}: {line}\n" for what, line in sorted(package.licenses.items()))
    if licenses:
        licenses = f"\n{licenses}"
    return f"""---
library_name: densekd
{pipeline_line}tags: [{topic}, knowledge-distillation]
---
# {package.model}

A `{package.model}` with options `{options}`, for {len(package.classes)} classes: {classes}.

```python
import densekd, torch

model = densekd.load("this/repository")  # a plain nn.Module
{use}
```
{licenses}"""
