"""TorchDistiller's files: names, the deep supervision branch, and InPlace-ABN's weights."""

import pytest
import torch
from golden_models import Rules
from published_keys import DEEP_STEM, assert_recognized, published, under

from densekd.models.checkpoints.torchdistiller import recognize

RULES: Rules = [
    *under(DEEP_STEM, ""),
    (r"head\.pyramid\.levels\.(\d)\.0(\..*)", r"pspmodule.stages.\1.1\2"),
    (r"head\.pyramid\.levels\.(\d)\.1(\..*)", r"pspmodule.stages.\1.2\2"),
    (r"head\.bottleneck(\..*)", r"pspmodule.bottleneck\1"),
    (r"head\.classifier(\..*)", r"head\1"),
    (r"auxiliary\.conv(\..*)", r"dsn\1"),
    (r"auxiliary\.classifier(\..*)", r"dsn.3\1"),
]


@pytest.mark.parametrize("auxiliary", [0, 24])
def test_recognized(auxiliary: int) -> None:
    options = {"num_classes": 5, "backbone": "resnet18", "family": "torchdistiller", "channels": 16}
    options["auxiliary_channels"] = auxiliary
    assert_recognized(recognize(published("pspnet", options, RULES)), "pspnet", options)


def test_weights_of_norms_are_written_out() -> None:
    options = {"num_classes": 5, "backbone": "resnet18", "family": "torchdistiller", "channels": 16}
    state = {key: torch.full(x.shape, -2.0) for key, x in published("pspnet", options, RULES).items()}
    found = recognize(state)
    assert found is not None
    norms = {key.removesuffix("running_mean") + "weight" for key in found.state if key.endswith("running_mean")}
    assert len(norms) > 20
    for key, value in found.state.items():
        assert value.unique().tolist() == pytest.approx([2 + 1e-5 if key in norms else -2.0]), key
