"""Weights as recipes name them: a published file below ``checkpoints/``, else the path or URL itself."""

import re
from pathlib import Path, PurePosixPath

from densekd.convert_config.report import Report
from densekd.models.published_files import PUBLISHED_FILES, find_published

# Names of OpenMMLab's model zoo for backbones.
_ZOO = re.compile(r"^(open-mmlab|torchvision)://([\w./]+)$")
_TORCHVISION = re.compile(r"^resnet(18|34|50|101|152)$")


def weights_of(named: str, system: str, report: Report) -> str:
    """Return what a recipe names for the weights that a configuration or command names.

    Args:
        named: a path, a URL, or a path with a placeholder ("[your path]/resnet18-imagenet.pth").
        system: the project, a folder below ``checkpoints/``.
        report: says where the file of a placeholder belongs.
    """
    name = PurePosixPath(named.replace("\\", "/")).name
    is_url = named.startswith(("http://", "https://"))
    if not is_url and Path(named).exists():
        return named
    place = f"checkpoints/{system}/{name}"
    if place in PUBLISHED_FILES:
        return place
    published = find_published(name)
    if published is not None:
        return published.place
    if is_url:
        return named
    if "[" in named or "$" in named:
        report.assume(f"{name} is expected at {place}")
        return place
    return named


def backbone_weights(named: str, system: str, report: Report) -> str | None:
    """Return what ``pretrained`` of a recipe says for a backbone of OpenMMLab, or None.

    Args:
        named: ``open-mmlab://resnet18_v1c``, ``torchvision://resnet50``, a path or a URL.
        system: the project whose layout the file has.
        report: says what is not known.
    """
    zoo = _ZOO.match(named)
    if zoo is None:
        return _encoder(named, system) or weights_of(named, system, report)
    source, name = zoo[1], zoo[2]
    if source == "torchvision" and _TORCHVISION.match(name):
        return f"{name}.tv_in1k"
    for place, file in PUBLISHED_FILES.items():
        if file.system == system and file.name.startswith(f"{name}-"):
            return place
    report.leave(f"the backbone's weights {named}: name a file under student.pretrained")
    return None


def _encoder(named: str, system: str) -> str | None:
    """Return mmsegmentation's own file of a MiT or Swin, which it names without date and digest."""
    stem = PurePosixPath(named).stem
    for place, file in PUBLISHED_FILES.items():
        dated = re.match(rf"{re.escape(stem)}_\d{{8}}-[0-9a-f]{{8}}\.pth$", file.name)
        if file.system == system and dated:
            return place
    return None
