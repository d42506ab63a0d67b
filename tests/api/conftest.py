"""A trained run, made by the Python API itself."""

from pathlib import Path

import pytest
from tiny_data import tiny_recipe

import densekd
from densekd.api.train import Training


@pytest.fixture(scope="session")
def training(data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Training:
    folder = tmp_path_factory.mktemp("api") / "run"
    return densekd.train(tiny_recipe(data_root), folder, overrides=["training.steps=3"], accelerator="cpu")
