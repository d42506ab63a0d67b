"""What objects of the user's declare: classes and annotated functions of the right kind, and nothing else."""

import os
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from lightning import Callback
from lightning.pytorch.loggers import CSVLogger
from torch import nn

from densekd.data.contract import Files
from densekd.data.files import SegmentationFiles
from densekd.doors import CALLBACK, DATASET, LOGGER, MODULE, TASK, Door, declares, is_standard_library
from densekd.tasks import TASKS


def network(num_classes: int) -> nn.Module:
    raise NotImplementedError


def written(num_classes: int) -> "nn.Conv2d":
    raise NotImplementedError


def silent(num_classes: int):  # type: ignore[no-untyped-def]
    raise NotImplementedError


def unknown(num_classes: int) -> "NoSuchClass":  # type: ignore[name-defined] # noqa: F821
    raise NotImplementedError


def files(root: Path, split: str) -> SegmentationFiles:
    raise NotImplementedError


def any_files(root: Path, split: str) -> Files:
    raise NotImplementedError


@pytest.mark.parametrize(
    ("found", "door", "is_so"),
    [
        (nn.Conv2d, MODULE, True),
        (network, MODULE, True),
        (partial(network, 3), MODULE, True),
        (written, MODULE, True),
        (silent, MODULE, False),
        (unknown, MODULE, False),
        (files, MODULE, False),
        (os.system, MODULE, False),
        (dict, MODULE, False),
        (nn.Conv2d(1, 1, 1), MODULE, False),
        (files, DATASET, True),
        (any_files, DATASET, True),
        (network, DATASET, False),
        (os.popen, DATASET, False),
        (os.listdir, DATASET, False),
        (str, DATASET, False),
        (TASKS["depth"], TASK, True),
        (nn.Conv2d, TASK, False),
        (CSVLogger, LOGGER, True),
        (Callback, LOGGER, False),
        (Callback, CALLBACK, True),
        (CSVLogger, CALLBACK, False),
    ],
)
def test_what_fits_a_door(found: Any, door: Door, is_so: bool) -> None:
    assert declares(found, door) is is_so


def test_the_standard_library_is_known() -> None:
    assert is_standard_library("os.path")
    assert is_standard_library("builtins")
    assert not is_standard_library("torch.nn")
    assert not is_standard_library("")
