"""Checkpoints by URL: fetched once, checked, refused without a checksum; the network is a file."""

import hashlib
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from densekd.builders.models import build_teacher
from densekd.cli.app import app
from densekd.errors import UserError
from densekd.models.checkpoints.download import located
from densekd.models.fpn import fpn
from densekd.recipe import ModelSpec

CONTENT = b"not a model"
SHA = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    return tmp_path / "hub"


def serve(folder: Path, name: str, content: bytes = CONTENT) -> tuple[Path, str]:
    file = folder / "host" / name
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(content)
    return file, file.as_uri()


def test_paths_stay_paths(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert located("~/x.pth#teacher") == tmp_path / "x.pth#teacher"
    assert located("hf:owner/name") == Path("hf:owner/name")


@pytest.mark.parametrize("name", [f"model_20200606-{SHA[:8]}.pth", f"model-{SHA}.safetensors"])
def test_fetched_once_and_checked_against_its_name(tmp_path: Path, hub: Path, name: str) -> None:
    file, url = serve(tmp_path, name)
    found = located(url)
    assert found.read_bytes() == CONTENT
    assert found.is_relative_to(hub)
    file.unlink()
    assert located(url) == found
    assert sorted(path.name for path in hub.rglob("*") if path.is_file()) == [name]


def test_a_checksum_behind_the_url_and_a_part(tmp_path: Path) -> None:
    _, url = serve(tmp_path, "both.pth")
    found = located(f"{url}#sha256={SHA[:16].upper()}#teacher")
    assert found.name == "both.pth#teacher"
    assert found.with_name("both.pth").read_bytes() == CONTENT


def test_refused_without_a_checksum_and_then_not_fetched_again(tmp_path: Path) -> None:
    file, url = serve(tmp_path, "model.pth")
    with pytest.raises(UserError, match=rf"write {url}#sha256={SHA}#student\.$"):
        located(f"{url}#student")
    file.unlink()
    assert located(f"{url}#sha256={SHA}").read_bytes() == CONTENT


def test_another_file_than_expected(tmp_path: Path) -> None:
    _, url = serve(tmp_path, "model-00000000.pth")
    with pytest.raises(UserError, match=f"another file than expected: its SHA-256 is {SHA}, not 00000000"):
        located(url)
    with pytest.raises(UserError, match="'xyz' is no checksum"):
        located(f"{url}#sha256=xyz")


def test_out_of_reach(tmp_path: Path, hub: Path) -> None:
    with pytest.raises(UserError, match=r"none-12345678\.pth: could not be fetched \("):
        located((tmp_path / "none-12345678.pth").as_uri())
    assert not [path for path in hub.rglob("*") if path.is_file()]


def test_a_teacher_and_the_command_line(tmp_path: Path) -> None:
    model = fpn(3, backbone="resnet18_025", channels=16)
    path = tmp_path / "weights.pth"
    torch.save(model.state_dict(), path)
    content = path.read_bytes()
    _, url = serve(tmp_path, f"weights-{hashlib.sha256(content).hexdigest()[:8]}.pth", content)
    spec = ModelSpec(model="fpn", options={"backbone": "resnet18_025", "channels": 16}, checkpoint=url)
    teacher = build_teacher(spec, 3).model
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), teacher.parameters(), strict=True))
    _, url = serve(tmp_path, "weights.pth", content)
    result = CliRunner().invoke(app, ["convert", url, str(tmp_path / "out.pth")])
    assert isinstance(result.exception, UserError)
    assert "#sha256=" in str(result.exception)


def test_a_file_that_was_damaged_since_is_fetched_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _, url = serve(tmp_path, f"model-{SHA[:8]}.pth")
    found = located(url)
    found.write_bytes(b"not a modem")
    assert located(url).read_bytes() == CONTENT
    assert f"{found}: damaged since it was fetched; it is fetched anew." in caplog.text
