"""Every pair of networks with every set of terms fits together at its own widths; networks have shapes alone."""

import copy
import json
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from densekd.builders.terms import plan_terms
from densekd.distill import wiring
from densekd.distill.probe import probe
from densekd.distill.terms import Tap, paths
from densekd.distill.wiring import ProbeBatch, wire_terms
from densekd.models import MODELS
from densekd.ops.boxes import Boxes
from densekd.presets import PRESETS
from densekd.recipe import parse_recipe

# What the published files of teachers hold, by the beginning of their names.
TEACHERS: dict[str, tuple[str, dict[str, Any]]] = {
    "teacher_city": ("pspnet", {"backbone": "resnet101", "family": "torchdistiller", "auxiliary_channels": 512}),
    "pspnet_r101-d8": ("pspnet", {"backbone": "resnet101"}),
    "pspnet_r101b-d8": ("pspnet", {"backbone": "resnet101", "family": "mmseg_b"}),
    "gfl_r101": ("gfl", {"backbone": "resnet101"}),
    "retinanet_r101": ("retinanet", {"backbone": "resnet101"}),
    "retinanet_x101": ("retinanet", {"backbone": "resnext101_64x4d"}),
    "faster_rcnn_r101": ("faster_rcnn", {"backbone": "resnet101"}),
    "segformer_MiT_B4": ("segformer", {"backbone": "mit_b4", "family": "cirkd"}),
    **{f"segformer.b{size}": ("segformer", {"backbone": f"mit_b{size}"}) for size in range(1, 5)},
}
# Queues that would fill the machine.
SMALL = {
    "cirkd_memory": {"pixel_memory_size": 64, "region_memory_size": 32},
    "cirkd_channel": {"channel_memory_size": 64},
}
SIZE = (64, 64)


def teacher_of(content: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return architecture and options of the network in a teacher's file."""
    name = content["teacher"]["checkpoint"].rpartition("/")[2]
    if name.startswith("deeplabv3"):
        # Of two files of one name the width tells which is meant.
        channels = content["teacher"]["options"]["channels"]
        return "deeplabv3", {"backbone": "resnet101", "family": "cirkd", "channels": channels}
    (found,) = [network for start, network in TEACHERS.items() if name.startswith(start)]
    return found


class Networks:
    """Networks on the meta device, each built once, and the shapes of what is tapped."""

    def __init__(self) -> None:
        self.models: dict[str, nn.Module] = {}
        self.shapes: dict[tuple[int, str], torch.Size] = {}

    def get(self, name: str, options: dict[str, Any], classes: int) -> nn.Module:
        key = json.dumps([name, options, classes], sort_keys=True)
        if key not in self.models:
            with torch.device("meta"):
                self.models[key] = MODELS[name](classes, **options)
        return self.models[key]

    def probe(self, model: nn.Module, taps: Sequence[Tap], images: Tensor) -> dict[str, Tensor]:
        """Stand in for a forward pass: noise in the shapes that the network gives."""
        read = [path for tap in taps for path in paths(tap)]
        missing = [path for path in read if (id(model), path) not in self.shapes]
        if missing:
            for path, feature in probe(model, missing, images.to("meta")).items():
                self.shapes[id(model), path] = feature.shape
        return {path: torch.rand(self.shapes[id(model), path]) for path in read}


def distinct() -> list[str]:
    """Return a preset of each pair of networks with each set of terms, whatever the data's size."""
    found: dict[str, str] = {}
    for name, preset in PRESETS.items():
        if "teacher" in preset.content:
            pair = [
                preset.content["student"]["model"],
                preset.content["student"]["options"],
                teacher_of(preset.content),
            ]
            found.setdefault(json.dumps([*pair, preset.content["distill"]], sort_keys=True), name)
    return list(found.values())


def test_all_pairs_and_terms_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    networks = Networks()
    monkeypatch.setattr(wiring, "_probe", networks.probe)
    names = distinct()
    assert len(names) > 150
    for name in names:
        content = copy.deepcopy(PRESETS[name].content)
        for term in content["distill"]:
            term["options"] = term.get("options", {}) | SMALL.get(term["method"], {})
        detection = content["data"]["dataset"] == "coco"
        classes = 80 if detection else 19
        student = networks.get(content["student"]["model"], content["student"]["options"], classes)
        teacher = networks.get(*teacher_of(content), classes)
        target: Any = torch.randint(0, classes, (1, *SIZE))
        if detection:
            box = torch.tensor([[4.0, 4.0, 60.0, 50.0]])
            target = Boxes([box], [torch.zeros(1, dtype=torch.int64)], torch.tensor([SIZE]))
        facts = {"num_classes": classes, "ignore_index": 255}
        batch = ProbeBatch(torch.rand(1, 3, *SIZE), target, facts, "many" if detection else "one")
        terms = wire_terms(plan_terms(parse_recipe(content, name)), student, teacher, batch)
        assert len(terms) >= len(content["distill"]), name
