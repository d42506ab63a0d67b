"""Fixtures that many tests share: tiny data sets that can be learnt, and recipes for them."""

import gc
import hashlib
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from dataset_trees import make_coco
from jinja2 import Environment
from tiny_data import make_depth, make_folder, tiny_recipe

from densekd.run import latency
from densekd.trust import forget


def pytest_configure() -> None:
    """Imports and the collection make no garbage, and looking for it among what lasts was a fifth of their time."""
    gc.disable()


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop() -> None:
    """From now on garbage is collected, of what is made from now on, and where there is more of it than usual."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)
    gc.enable()


@pytest.fixture(scope="session")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of 6 training and 3 validation images of 32 x 48 pixels with 3 classes; nobody changes it."""
    return make_folder(tmp_path_factory.mktemp("data"), {"train": 6, "val": 3})


@pytest.fixture(scope="session")
def boxes_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three images of 64 x 128 pixels in both splits, with boxes of 2 classes in COCO's JSON; nobody changes it."""
    root = tmp_path_factory.mktemp("boxes")
    for split in ("train", "val"):
        make_coco(root / f"instances_{split}.json", root / split)
    return root


@pytest.fixture(scope="session")
def depth_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three images of 32 x 48 pixels in both splits, with depth maps in the plain layout; nobody changes it."""
    return make_depth(tmp_path_factory.mktemp("depth"), {"train": 3, "val": 3})


@pytest.fixture
def detection_recipe(boxes_root: Path) -> dict[str, Any]:
    """The content of a recipe that trains a detector in seconds: a student alone, on ``boxes_root``."""
    return {
        "name": "tiny",
        "data": {"dataset": "coco", "root": str(boxes_root), "batch_size": 2, "cache": 0.01},
        "augment": {"short_side": [32, 64]},
        "student": {"model": "gfl", "options": {"backbone": "resnet18_025", "channels": 16, "depth": 1}},
        "task": {"kind": "detection"},
        "optimizer": {"method": "adamw", "lr": 0.003, "weight_decay": 0.02},
        "training": {"steps": 6, "precision": 32, "log_every": 2, "checkpoint_every": 2},
    }


@pytest.fixture
def recipe(data_root: Path) -> dict[str, Any]:
    """The content of :func:`tiny_recipe` on ``data_root``, the test's to change."""
    return tiny_recipe(data_root)


@pytest.fixture(scope="session", autouse=True)
def _no_cache_of_mine(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What a training keeps for the next one lies in a folder of the tests."""
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True)
def _own_cache(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test finds what another one has kept."""
    base = os.environ["XDG_CACHE_HOME"]
    digest = hashlib.blake2b(request.node.nodeid.encode(), digest_size=6).hexdigest()
    monkeypatch.setenv("XDG_CACHE_HOME", f"{base}/{digest}")


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """One thread for all tests, fixtures and commands that they start: sums of several threads are rounded otherwise.

    Two workers on two cores, each with commands of two threads, would wait for each other, too.
    """
    torch.set_num_threads(1)
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session", autouse=True)
def _no_wait_for_disks() -> Iterator[None]:
    """No test cuts the power: what is written need not be on the disk, and a training asks for it dozens of times."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def _templates_compiled_once() -> Iterator[None]:
    """Each training writes a report, and Jinja compiles its templates anew for each: a seventh of a tiny training."""
    original, known = Environment.compile, {}

    def compiled(self: Environment, source: str, *arguments: Any, **named: Any) -> Any:
        # What a template is compiled to depends on these; the values of filters are looked up when it is filled.
        settings = (self.autoescape, self.undefined, self.trim_blocks, self.lstrip_blocks, *self.filters)
        key = (source, arguments, tuple(named.items()), settings)
        if key not in known:
            known[key] = original(self, source, *arguments, **named)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Environment, "compile", compiled)
        yield


@pytest.fixture(scope="session", autouse=True)
def _one_round_of_latency() -> Iterator[None]:
    """Nobody reads the milliseconds of a test's training: its models take one turn, as slow ones do, instead of ten."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(latency, "measure", partial(latency.measure, seconds=0))
        yield


@pytest.fixture(autouse=True)
def _nothing_trusted() -> Iterator[None]:
    """What one test names is no word of the next test's."""
    forget()
    yield
    forget()


@pytest.fixture(autouse=True)
def _no_debug() -> Iterator[None]:
    """A command with ``--debug`` tells its children by the environment; the next test is none of them."""
    yield
    os.environ.pop("DENSEKD_DEBUG", None)
    os.environ.pop("DENSEKD_QUIET", None)


@pytest.fixture(autouse=True)
def _calm_torch() -> Iterator[None]:
    """One thread and a known seed for every test."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)
