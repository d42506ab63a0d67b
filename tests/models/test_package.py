"""The student package: what is saved is what is loaded, and a wrong package says what is wrong."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import densekd
from densekd.errors import UserError
from densekd.models import find_model
from densekd.models.dilated import pspnet
from densekd.models.fpn import fpn
from densekd.models.open import open_model
from densekd.models.package import PackageConfig, config_beside, parse_config, read_config, save_package
from densekd.seal import read_document
from densekd.trust import trusting

CLASSES = ["road", "car", "tree"]
PALETTE = [[1, 2, 3], [4, 5, 6], [7, 8, 9]]


class Custom(nn.Module):
    """A model of the user's, with tied weights."""

    def __init__(self, num_classes: int, width: int = 4) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 1)
        self.second = self.first
        self.stem, self.head = nn.Conv2d(3, width, 1), nn.Conv2d(width, num_classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.second(self.first(self.stem(images))))
        return logits


def make(num_classes: int) -> Custom:
    return Custom(num_classes)


def config(model: str = "fpn", **options: Any) -> PackageConfig:
    options = options or {"backbone": "resnet18_025", "channels": 16}
    return PackageConfig(model, options, CLASSES, PALETTE, 255, [64, 96])


@pytest.fixture
def package(tmp_path: Path) -> Path:
    save_package(fpn(3, "resnet18_025", 16), config(), tmp_path / "student")
    return tmp_path / "student"


def written(folder: Path) -> PackageConfig:
    return parse_config(read_config(folder), str(folder))


def change(folder: Path, **entries: Any) -> None:
    """Edit a package by hand, as its message says: without the line of checksums."""
    path = folder / "config.json"
    content = {**json.loads(path.read_text()), **entries}
    del content["checksums"]
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("model", "config"),
    [
        (lambda: fpn(3, "resnet18_025", 16), config()),
        (lambda: pspnet(3, "resnet18_025", "cirkd", auxiliary_channels=0),
         config("pspnet", backbone="resnet18_025", family="cirkd", auxiliary_channels=0)),
        (lambda: Custom(3, 5), config(f"{__name__}:Custom", width=5)),
    ],
    ids=["fpn", "pspnet", "custom"],
)  # fmt: skip
def test_save_and_load(tmp_path: Path, model: Any, config: PackageConfig) -> None:
    torch.manual_seed(1)
    student = model().to(memory_format=torch.channels_last)
    student(torch.rand(2, 3, 64, 96))  # moves the running statistics
    save_package(student, config, tmp_path / "run" / "student")
    images = torch.rand(1, 3, 64, 96)
    expected = student.eval()(images)
    for path in (tmp_path / "run" / "student", tmp_path / "run"):
        with trusting([__name__]):
            loaded = open_model(path)
        assert loaded.config == config
        assert not any(module.training for module in loaded.model.modules())
        assert expected.abs().max().item() > 1e-3
        torch.testing.assert_close(loaded.model(images), expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(
        densekd.load(str(tmp_path / "run"), trust=[__name__])(images), expected, rtol=0, atol=1e-6
    )
    assert sorted(p.name for p in (tmp_path / "run" / "student").iterdir()) == ["config.json", "model.safetensors"]


def test_config_on_disk(package: Path) -> None:
    content = json.loads((package / "config.json").read_text())
    assert list(content)[-1] == "checksums"
    assert read_document(package / "config.json") == {
        "format": 1, "model": "fpn", "options": {"backbone": "resnet18_025", "channels": 16}, "classes": CLASSES,
        "palette": PALETTE, "ignore_index": 255, "resize": [64, 96],
        "categories": [], "task": "segmentation", "task_options": {},
    }  # fmt: skip
    assert written(package) == config()


@pytest.mark.parametrize(
    ("entries", "parts"),
    [
        ({"model": "fnp"}, ["Unknown model 'fnp'", "Did you mean 'fpn'?", "pspnet"]),
        ({"model": 3}, ["not the config of a student package", "'model' must be a name, not 3"]),
        ({"options": {"width": 3}}, ["config.json: unknown option 'width'", "backbone, channels, dropout"]),
        ({"options": {"backbone": "resnet19"}}, ["Unknown backbone 'resnet19'", "Did you mean 'resnet18'?"]),
        ({"options": {"num_classes": 3}}, ["'num_classes' is measured from the models and data"]),
        ({"options": [1]}, ["not the config of a student package", "'options' must be a mapping"]),
        ({"classes": 3}, ["not the config of a student package", "'classes' must be a list of names, not 3"]),
        ({"classes": ["road", "car"], "palette": PALETTE[:2]},
         ["student checkpoint", "other shape 2: head.classifier.weight (file [3, 16, 1, 1], model [2, 16, 1, 1])"]),
        ({"options": {"backbone": "resnet18_025", "channels": 20}}, ["does not fit Segmentor", "nothing was loaded"]),
    ],
)  # fmt: skip
def test_wrong_configs(package: Path, entries: dict[str, Any], parts: list[str]) -> None:
    change(package, **entries)
    with pytest.raises(UserError) as caught:
        open_model(package)
    assert all(part in str(caught.value) for part in parts), caught.value


@pytest.mark.parametrize(
    ("text", "part"),
    [(b"{", "JSONDecodeError"), (b"[]", "TypeError"), (b"{}", "KeyError: 'model'"), (b"\xff", "EncodingError")],
)
def test_malformed_configs(package: Path, text: bytes, part: str) -> None:
    (package / "config.json").write_bytes(text)
    with pytest.raises(UserError, match=r"config\.json: not the config of a student package") as caught:
        open_model(package)
    assert part in str(caught.value)


def test_categories_come_back_and_older_packages_have_none(package: Path, tmp_path: Path) -> None:
    save_package(fpn(3, "resnet18_025", 16), replace(config(), categories=(1, 3, 90)), tmp_path / "numbered")
    assert written(tmp_path / "numbered").categories == (1, 3, 90)
    content = read_document(package / "config.json")
    del content["categories"]
    (package / "config.json").write_text(json.dumps(content))
    assert written(package).categories == ()


def test_missing_files(package: Path) -> None:
    (package / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"no model\.safetensors"):
        open_model(package)
    (package / "config.json").unlink()
    with pytest.raises(UserError, match=r"no config\.json and model\.safetensors in this folder or its student/"):
        open_model(package)


def test_a_truncated_package_is_refused(package: Path) -> None:
    weights = package / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"model\.safetensors: damaged"):
        open_model(package)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("os:system", "is Python's own"),
        ("builtins:dict", "is Python's own"),
        (f"{__name__}:config", "was not called: it has to be an nn.Module class"),
        (f"{__name__}:make", "is not an nn.Module class"),
    ],
)
def test_only_modules_are_built(package: Path, monkeypatch: pytest.MonkeyPatch, name: str, message: str) -> None:
    monkeypatch.setattr(os, "system", lambda *_: pytest.fail("executed"))
    change(package, model=name, options={})
    with trusting([name]), pytest.raises(UserError, match=f"'{name}' {message}"):
        open_model(package)


def test_an_unknown_module_is_refused(package: Path) -> None:
    change(package, model="no_such_package:Net")
    with pytest.raises(
        UserError, match=r"config\.json: names 'no_such_package:Net'.* add --trust no_such_package \(in"
    ):
        open_model(package)
    with trusting(["no_such_package"]), pytest.raises(UserError, match="'no_such_package:Net' cannot be imported"):
        open_model(package)


def test_a_module_that_was_named_once_is_known(package: Path) -> None:
    change(package, model=f"{__name__}:Custom", options={"width": 5})
    save_package(Custom(3, 5), written(package), package)
    with pytest.raises(UserError, match="names 'tests"):
        open_model(package)
    # A recipe, or a call, is a person's word.
    find_model(f"{__name__}:Custom")
    assert open_model(package).config.options == {"width": 5}


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"model": 3}, "'model' must be a name, not 3"),
        ({"options": []}, "'options' must be a mapping"),
        ({"options": {"channels": "many"}}, "channels: an integer"),
        ({"classes": "abc"}, "'classes' must be a list of names"),
        ({"classes": ["a", 2, "c"]}, "'classes' must be a list of names"),
        ({"classes": ["a"]}, "1 classes and 3 colors"),
        ({"palette": [1, 2, 3]}, "'palette' must be a list of colors"),
        ({"palette": [[1, 2, 300]] * 3}, "'palette' must be a list of colors"),
        ({"ignore_index": "x"}, "'ignore_index' must be a whole number"),
        ({"resize": [1, 2, 3]}, "'resize' must be null or one or two sizes"),
        ({"resize": [0]}, "'resize' must be null"),
        ({"categories": 5}, "'categories' must be a list"),
        ({"task": ["segmentation"]}, "'task' must be a name"),
        ({"task_options": 1}, "'task_options' must be a mapping"),
        ({"licenses": "MIT"}, "'licenses' must be a mapping of names to texts"),
        ({"licenses": {"data": 1}}, "'licenses' must be a mapping of names to texts"),
        ({"bands": "rgb"}, "'bands' must be a whole number or a list"),
    ],
)
def test_what_a_package_says_is_checked(package: Path, entries: dict[str, Any], message: str) -> None:
    change(package, **entries)
    with pytest.raises(UserError, match=message):
        open_model(package)


@pytest.mark.parametrize("damage", [b"", b'{"model": "fpn", ', b"\0" * 100])
def test_a_damaged_config_beside_our_weights_is_no_foreign_one(package: Path, damage: bytes) -> None:
    (package / "config.json").write_bytes(damage)
    with pytest.raises(UserError, match=r"config\.json: damaged"):
        config_beside(package / "model.safetensors")


def test_a_folder_in_place_of_the_config_is_damage(package: Path) -> None:
    (package / "config.json").unlink()
    (package / "config.json").mkdir()
    with pytest.raises(UserError, match="take it away to use the weights alone"):
        config_beside(package / "model.safetensors")


def test_a_changed_key_of_the_config_is_found_by_its_checksums(package: Path) -> None:
    path = package / "config.json"
    path.write_text(path.read_text().replace('"classes"', '"clazzes"'))
    with pytest.raises(UserError, match="clazzes"):
        config_beside(package / "model.safetensors")


def test_other_libraries_configs_are_left_to_them(tmp_path: Path) -> None:
    save_file({"w": torch.ones(2)}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text("{")
    assert config_beside(tmp_path / "model.safetensors") is None
