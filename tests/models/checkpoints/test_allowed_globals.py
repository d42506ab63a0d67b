"""Plain data of training libraries beside the weights: paths of any system, settings, versions."""

import pathlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from densekd.errors import UserError
from densekd.models.checkpoints import Checkpoint

STATE = {"a.weight": torch.ones(2)}


def save_with_class(name: str, path: Path, attributes: dict[str, Any]) -> None:
    """Save an instance of a class that is not installed here, as its library would."""
    module_name, _, class_name = name.rpartition(".")
    module = ModuleType(module_name)
    made = type(class_name, (), {"__module__": module_name})
    setattr(module, class_name, made)
    instance = made()
    instance.__dict__.update(attributes)
    parts = module_name.split(".")
    with pytest.MonkeyPatch.context() as patch:
        for end in range(1, len(parts)):
            patch.setitem(sys.modules, ".".join(parts[:end]), ModuleType(".".join(parts[:end])))
        patch.setitem(sys.modules, module_name, module)
        torch.save({"state_dict": STATE, "extra": instance}, path)


@pytest.mark.parametrize("kind", ["PurePosixPath", "PureWindowsPath", "Path"])
def test_paths_of_any_system_are_text(tmp_path: Path, kind: str) -> None:
    made = getattr(pathlib, kind)("data", "cityscapes")
    torch.save({"state_dict": STATE, "hyper": {"root": made}}, tmp_path / "a.pth")
    checkpoint = Checkpoint.read(tmp_path / "a.pth")
    assert checkpoint.state.keys() == STATE.keys()
    assert checkpoint.container.content["hyper"]["root"] == "data/cityscapes"


@pytest.mark.parametrize("module", ["pathlib", "pathlib._local"])
def test_a_path_of_windows_is_read_on_every_system(tmp_path: Path, module: str) -> None:
    # As Python 3.13 on Windows writes it: the class, its parts.
    torch.save({"state_dict": STATE, "root": pathlib.PureWindowsPath("C:/", "data")}, tmp_path / "a.pth",
               _use_new_zipfile_serialization=False)  # fmt: skip
    content = (tmp_path / "a.pth").read_bytes()
    old = b"cpathlib\nPureWindowsPath\n"
    assert old in content
    (tmp_path / "a.pth").write_bytes(content.replace(old, f"c{module}\nWindowsPath\n".encode()))
    checkpoint = Checkpoint.read(tmp_path / "a.pth")
    assert checkpoint.container.content["root"].endswith("data")


@pytest.mark.parametrize("name", ["omegaconf.dictconfig.DictConfig", "omegaconf.listconfig.ListConfig"])
def test_settings_of_a_library_that_is_not_installed(tmp_path: Path, name: str) -> None:
    save_with_class(name, tmp_path / "a.ckpt", {"_content": {"lr": 0.1}, "_parent": None})
    assert Checkpoint.read(tmp_path / "a.ckpt").state.keys() == STATE.keys()


def test_a_class_that_nobody_knows_is_named(tmp_path: Path) -> None:
    save_with_class("my_project.settings.Settings", tmp_path / "a.ckpt", {"lr": 0.1})
    with pytest.raises(UserError, match=r"a\.ckpt: refused\. .* holds my_project\.settings\.Settings"):
        Checkpoint.read(tmp_path / "a.ckpt")


def test_the_version_of_torch_is_read(tmp_path: Path) -> None:
    torch.save({"state_dict": STATE, "torch": torch.__version__}, tmp_path / "a.pth")
    assert Checkpoint.read(tmp_path / "a.pth").state.keys() == STATE.keys()
