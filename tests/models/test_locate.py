"""What a source means: files, folders and names; a missing file is no name on the hub."""

from pathlib import Path
from typing import Any

import huggingface_hub
import pytest

from densekd.errors import UserError
from densekd.models.locate import is_architecture, locate


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Stand in for the hub, whose packages lie in one folder; return the names that it was asked for."""
    names: list[str] = []

    def fetch(name: str, **options: Any) -> str:
        names.append(name)
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    monkeypatch.chdir(tmp_path)
    return names


def test_files_and_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "a.pth").write_bytes(b"x")
    assert locate("runs").kind == "folder"
    assert locate("a.pth").kind == "file"
    assert locate("a.pth#teacher") == locate(Path("a.pth#teacher"))
    assert locate("a.pth#teacher").path.name == "a.pth#teacher"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert locate("~/a.pth").kind == "file"


def test_what_is_on_the_disk_comes_before_a_name(tmp_path: Path, asked: list[str]) -> None:
    (tmp_path / "fpn").mkdir()
    (tmp_path / "owner" / "name").mkdir(parents=True)
    assert locate("fpn").kind == "folder"
    assert locate("owner/name").path == Path("owner/name")
    assert asked == []


@pytest.mark.parametrize("name", ["pspnet", "hf:owner/name", "hf:/a/folder", "timm:resnet18", "my.module:Net"])
def test_architectures(name: str, asked: list[str]) -> None:
    assert is_architecture(name)
    assert locate(name).kind == "name"
    assert locate(name).name == name
    assert asked == []


@pytest.mark.parametrize("name", ["resnet18", "hf:", "owner/name", "a.pth", "my.module:", ":Net", "https://host/a"])
def test_no_architectures(name: str) -> None:
    assert not is_architecture(name)


def test_a_name_on_the_hub(tmp_path: Path, asked: list[str]) -> None:
    place = locate("owner/name-1.0")
    assert (place.kind, place.path, asked) == ("folder", tmp_path, ["owner/name-1.0"])


@pytest.mark.parametrize(
    "name",
    [
        "model.pth",
        "owner/model.pth",
        "owner/model.safetensors",
        "a/b/c",
        "/a/b",
        "./a/b",
        "runs/student",
        "x.pth#teacher",
    ],
)
def test_a_missing_file_is_a_missing_file(name: str, tmp_path: Path, asked: list[str]) -> None:
    (tmp_path / "runs").mkdir()
    with pytest.raises(UserError, match="no such file or folder"):
        locate(name)
    assert asked == []


def test_the_nearest_file_is_suggested(tmp_path: Path) -> None:
    (tmp_path / "last.ckpt").write_bytes(b"x")
    with pytest.raises(UserError, match=rf"no such file or folder\. Did you mean {tmp_path / 'last.ckpt'}\?"):
        locate(tmp_path / "lats.ckpt")


def test_a_word_that_is_nothing() -> None:
    with pytest.raises(UserError, match=r"pspnett: .* no model of this name\. Did you mean 'pspnet'\?.* owner/name"):
        locate("pspnett")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("runs/camvid-teacher", "runs/camvid-teacher: no such file or folder."),
        ("mit_b0.pth", "mit_b0.pth: no such file or folder."),
        (
            "checkpoints/swin/upernet_swin_base_patch4_window7_512x512.pth",
            "checkpoints/swin/upernet_swin_base_patch4_window7_512x512.pth: no such file or folder. 'densekd fetch "
            "RECIPE' brings it from https://github.com/SwinTransformer/storage/releases/download/v1.0.1/"
            "upernet_swin_base_patch4_window7_512x512.pth.",
        ),
    ],
)
def test_a_missing_file_says_where_it_comes_from(
    name: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as error:
        locate(name)
    assert str(error.value) == message
