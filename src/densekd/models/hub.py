"""Students on the Hugging Face hub: saved, loaded and pushed as ``huggingface_hub`` does it with any model."""

import json
from pathlib import Path
from typing import Any

from huggingface_hub import ModelHubMixin, snapshot_download
from torch import Tensor, nn

from densekd.atomic import write_text
from densekd.errors import UserError
from densekd.models.package import PackageConfig, load_package, save_package

_FILES = ["config.json", "model.safetensors"]
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

    The folder it writes is a student package with a model card, so ``densekd.load`` reads it as well.

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
        save_package(self.model, self.package, save_directory)
        write_text(save_directory / "README.md", card(self.package))

    @classmethod
    def _from_pretrained(cls, *, model_id: str, **options: Any) -> "HubModel":
        folder = Path(model_id)
        if not folder.is_dir():
            known = {name: options[name] for name in ("revision", "cache_dir", "force_download", "token")}
            folder = Path(snapshot_download(model_id, allow_patterns=_FILES, **known))
        return cls(*load_package(folder))


def download(name: str) -> Path:
    """Fetch a package ``owner/name`` from the hub, or find it in the cache.

    Raises:
        UserError: unknown, or out of reach.
    """
    try:
        return Path(snapshot_download(name, allow_patterns=_FILES))
    except Exception as error:  # the hub's client has many ways to fail
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(f"{name}: no such folder, and it could not be had from the hub ({reason}).") from error


def card(package: PackageConfig) -> str:
    """Return a model card: what the model is, its classes, and how it is used; the licence is its owner's to choose."""
    options = json.dumps(package.options)
    pipeline, topic = _TAGS.get(package.task, ("", package.task.rpartition(":")[2]))
    pipeline_line = f"pipeline_tag: {pipeline}\n" if pipeline else ""
    return f"""---
library_name: densekd
{pipeline_line}tags: [{topic}, knowledge-distillation]
---
# {package.model}

A `{package.model}` with options `{options}`, for {len(package.classes)} classes: {", ".join(package.classes)}.

```python
import densekd, torch

model = densekd.load("this/repository")  # a plain nn.Module
{_USES.get(package.task, _USE)}
```
"""
