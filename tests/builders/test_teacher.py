"""Digest of a teacher: its structure, its weights, and the pixels that it takes."""

import copy

import torch

from densekd.builders.teacher import digest_of
from densekd.models import MODELS
from densekd.models.families import CAFFE, IMAGENET


def test_what_makes_another_teacher() -> None:
    model = MODELS["fpn"](3, backbone="resnet18_025", channels=16)
    first = digest_of(model)
    assert len(first) == 16
    same = copy.deepcopy(model)
    assert digest_of(same) == first
    # One weight, one statistic, one module, the pixels alone.
    weight = copy.deepcopy(model)
    with torch.no_grad():
        weight.head.get_submodule("classifier").bias[0] += 1e-6
    statistic = copy.deepcopy(model)
    statistic.backbone.get_submodule("bn1").running_mean[0] = 0.5
    module = copy.deepcopy(model)
    module.head.extra = torch.nn.ReLU()
    pixels = copy.deepcopy(model)
    other = CAFFE if model.convention != CAFFE else IMAGENET
    pixels.normalize.convention = other
    digests = [digest_of(one) for one in (model, weight, statistic, module, pixels)]
    assert len(set(digests)) == 5
