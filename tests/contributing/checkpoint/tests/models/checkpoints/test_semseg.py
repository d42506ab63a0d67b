"""Checkpoints of hszhao/semseg: every key is known, and the model is the one that wrote them."""

import re
from pathlib import Path

import torch
from torch import Tensor

from densekd.models.checkpoints.recognize import recognize
from densekd.models.dilated import pspnet
from densekd.models.open import open_model

# From our names to theirs, the opposite of what the reader does.
THEIRS = (
    (r"backbone\.conv1\.", "layer0."),
    (r"backbone\.bn1\.", "layer0.7."),
    (r"backbone\.", ""),
    (r"head\.pyramid\.levels\.(\d)\.0\.", r"ppm.features.\1.1."),
    (r"head\.pyramid\.levels\.(\d)\.1\.", r"ppm.features.\1.2."),
    (r"head\.bottleneck\.", "cls."),
    (r"head\.classifier\.", "cls.4."),
    (r"auxiliary\.conv\.", "aux."),
    (r"auxiliary\.classifier\.", "aux.4."),
)


def published() -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return a state dict under their names, and the same under ours."""
    torch.manual_seed(0)
    ours = pspnet(5, "resnet18", "semseg").state_dict()
    theirs = {}
    for key, value in ours.items():
        for pattern, name in THEIRS:
            if re.match(pattern, key):
                theirs[re.sub(pattern, name, key, count=1)] = value
                break
    return theirs, ours


def test_architecture_and_weights_are_recognized() -> None:
    theirs, ours = published()
    found = recognize(theirs)
    assert found is not None
    assert (found.format, found.model, found.unused) == ("semseg", "pspnet", ())
    assert found.options == {
        "num_classes": 5,
        "backbone": "resnet18",
        "family": "semseg",
        "channels": 128,
        "auxiliary_channels": 64,
    }
    weights = {key for key in ours if key in found.state}
    assert weights == set(found.state)
    assert all(torch.equal(found.state[key], ours[key]) for key in weights)


def test_a_file_is_opened_with_all_its_weights(tmp_path: Path) -> None:
    theirs, ours = published()
    torch.save(
        {"epoch": 100, "state_dict": {f"module.{key}": value for key, value in theirs.items()}}, tmp_path / "a.pth"
    )
    opened = open_model(str(tmp_path / "a.pth"))
    for key, value in opened.model.state_dict().items():
        assert torch.equal(value, ours[key]), key
