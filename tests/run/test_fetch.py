"""Fetching the weights of a recipe: downloaded once, checked, written where the recipe names them; by hand else."""

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import yaml
from typer.testing import CliRunner

from densekd.cli.app import app
from densekd.errors import UserError
from densekd.models import published_files
from densekd.models.checkpoints import download
from densekd.models.published_files import PublishedFile
from densekd.recipe import load_recipe
from densekd.recipe.shipped import shipped_recipe
from densekd.run import fetch as run_fetch
from densekd.run.carry import CACHES
from densekd.run.fetch import Fetched, Source, fetch, sources_of

CONTENT = b"weights"
SHA = hashlib.sha256(CONTENT).hexdigest()
NAME = f"teacher_20200606_112211-{SHA[:8]}.pth"


@pytest.fixture(autouse=True)
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table of three files: one with a digest, one without, one that a person must download."""
    host = tmp_path / "host"
    host.mkdir()
    for name in (NAME, "swin.pth", "broken-00000000.pth"):
        (host / name).write_bytes(CONTENT)
    files = [
        PublishedFile("mmseg", NAME, "a teacher", (host / NAME).as_uri()),
        PublishedFile("swin", "swin.pth", "a backbone", (host / "swin.pth").as_uri()),
        PublishedFile("mmseg", "broken-00000000.pth", "another file", (host / "broken-00000000.pth").as_uri()),
        PublishedFile("cirkd", "drive.pth", "DeepLabV3-R101", page="https://drive.google.com/page"),
    ]
    monkeypatch.setattr(published_files, "PUBLISHED_FILES", {file.place: file for file in files})


def run(name: str, to: Path, role: Any = "checkpoint") -> Fetched:
    (result,) = fetch([Source(role, name)], to, lambda _: None)
    return result


def test_fetched_once_and_checked(tmp_path: Path) -> None:
    name = f"checkpoints/mmseg/{NAME}"
    result = run(f"{name}#teacher", tmp_path)
    assert result.state == "fetched"
    assert f"SHA-256 {SHA}, as its name says" in result.message
    assert (tmp_path / name).read_bytes() == CONTENT
    # What is there and right is left alone, also when its host is gone.
    (tmp_path / "host" / NAME).unlink()
    assert run(name, tmp_path).state == "there"


def test_without_a_published_digest_the_digest_is_printed(tmp_path: Path) -> None:
    result = run("checkpoints/swin/swin.pth", tmp_path, "pretrained")
    assert result.state == "fetched"
    assert f"SHA-256 {SHA}, which nobody publishes" in result.message


def test_another_file_than_its_name_says_is_not_kept(tmp_path: Path) -> None:
    result = run("checkpoints/mmseg/broken-00000000.pth", tmp_path)
    assert result.state == "missing"
    assert f"its SHA-256 is {SHA}, not 00000000..." in result.message
    assert list((tmp_path / "checkpoints").rglob("*.*")) == []
    # Nor is one that is there replaced: it may be somebody's own.
    mine = tmp_path / "checkpoints" / "mmseg" / NAME
    mine.write_bytes(b"other")
    result = run(f"checkpoints/mmseg/{NAME}", tmp_path)
    assert result.state == "missing"
    assert "Remove it and fetch again" in result.message
    assert mine.read_bytes() == b"other"


def test_out_of_reach(tmp_path: Path) -> None:
    (tmp_path / "host" / NAME).unlink()
    result = run(f"checkpoints/mmseg/{NAME}", tmp_path)
    assert result.state == "missing"
    assert "could not be fetched" in result.message


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("checkpoints/cirkd/drive.pth",
         "DeepLabV3-R101. Download it from https://drive.google.com/page and put it there."),
        ("checkpoints/mine/own.pth", "is no published file that densekd knows; put it there."),
        ("runs/camvid-teacher", "is no published file; train it first, if it is a run of yours."),
    ],
)  # fmt: skip
def test_what_a_person_must_bring(name: str, message: str, tmp_path: Path) -> None:
    result = run(name, tmp_path)
    assert (result.state, result.message) == ("missing", f"{tmp_path / name}: {message}")


def test_what_is_there_needs_no_table(tmp_path: Path) -> None:
    (tmp_path / "runs" / "teacher").mkdir(parents=True)
    assert run("runs/teacher", tmp_path).state == "there"
    assert run("hf:facebook/some-model", tmp_path).state == "there"


def test_a_name_on_timms_hub_is_kept_by_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(timm, "create_model", lambda name, pretrained: asked.append(name) or torch.nn.Linear(1, 1))
    assert run("resnet50.tv_in1k", tmp_path, "pretrained").state == "fetched"
    assert asked == ["resnet50.tv_in1k"]


def test_a_recipe_names_its_sources() -> None:
    assert sources_of(load_recipe(shipped_recipe("cityscapes/mmrazor-r18-cwd"))) == [
        ("pretrained", "checkpoints/mmseg/resnet18_v1c-b5776b93.pth"),
        ("checkpoint", "checkpoints/mmseg/pspnet_r101-d8_512x1024_80k_cityscapes_20200606_112211-e1e1100f.pth"),
    ]


def write_recipe(path: Path, teacher: str, data_root: Path) -> Path:
    content = {
        "name": "tiny",
        "data": {"dataset": "folder", "root": str(data_root)},
        "student": {"model": "fpn", "options": {"backbone": "resnet18_025"}, "pretrained": "checkpoints/swin/swin.pth"},
        "teacher": {"checkpoint": teacher},
        "distill": [{"method": "cwd", "weight": 1}],
        "training": {"steps": 1},
    }
    path.write_text(yaml.safe_dump(content))
    return path


def test_the_command(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "recipe.yaml", f"checkpoints/mmseg/{NAME}", tmp_path)
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["fetch", str(recipe), "--to", str(tmp_path / "there")])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "there" / "checkpoints" / "mmseg" / NAME).is_file()
    assert "fetched  checkpoints/swin/swin.pth" in result.output


def test_the_command_fails_where_something_must_come_by_hand(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "recipe.yaml", "checkpoints/cirkd/drive.pth", tmp_path)
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["fetch", str(recipe), "--to", str(tmp_path)])
    assert result.exit_code == 1
    # What can be had is had all the same.
    assert (tmp_path / "checkpoints" / "swin" / "swin.pth").is_file()
    printed = " ".join(result.output.split())
    assert "1 of 2 must be got by hand:" in printed
    assert "Download it from https://drive.google.com/page and put it there." in printed


def test_offline_says_file_checksum_and_place(tmp_path: Path) -> None:
    (tmp_path / "host" / NAME).unlink()
    message = run(f"checkpoints/mmseg/{NAME}", tmp_path).message
    place = tmp_path / "checkpoints" / "mmseg" / NAME
    assert (
        f"Bring {NAME}, whose SHA-256 begins with {SHA[:8]}, from a machine with a network and put it at {place}."
        in message
    )
    assert message.endswith("See docs/troubleshooting.md#offline.")


def test_one_try_and_no_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(download, "is_reachable", lambda address: asked.append(address))
    monkeypatch.setattr(torch.hub, "download_url_to_file", lambda *arguments: pytest.fail("tried all the same"))
    with pytest.raises(UserError, match=r"could not be fetched .*nobody answers"):
        download.fetch_to(tmp_path / "a.pth", "https://host.invalid/a.pth", "")
    assert asked == ["https://host.invalid/a.pth"]
    assert not (tmp_path / "a.pth").exists()


def test_a_folder_to_carry(tmp_path: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in CACHES:
        monkeypatch.setenv(variable, "")
    recipe = write_recipe(tmp_path / "recipe.yaml", f"checkpoints/mmseg/{NAME}", data_root)
    folder = tmp_path / "carried"
    done = CliRunner().invoke(app, ["fetch", str(recipe), "--carry", str(folder)])
    assert done.exit_code == 0, done.output
    assert "HF_HOME=$PWD/huggingface TORCH_HOME=$PWD/torch HF_HUB_OFFLINE=1 densekd train recipe.yaml" in done.output
    held = dict(line.split("  ")[::-1] for line in (folder / "SHA256SUMS").read_text().splitlines())
    assert held.keys() == {"recipe.yaml", f"checkpoints/mmseg/{NAME}", "checkpoints/swin/swin.pth"}
    assert held[f"checkpoints/mmseg/{NAME}"] == SHA
    # The same folder is brought up to date, another one is left alone.
    assert CliRunner().invoke(app, ["fetch", str(recipe), "--carry", str(folder)]).exit_code == 0
    done = CliRunner().invoke(app, ["fetch", str(recipe), "--carry", str(data_root)])
    assert isinstance(done.exception, UserError)
    # What is carried is the same recipe, from whose folder its paths lead to the files.
    assert sources_of(load_recipe(folder / "recipe.yaml")) == sources_of(load_recipe(recipe))


def test_models_of_other_libraries_are_carried_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    monkeypatch.setattr(run_fetch, "open_model", opened.append)
    (result,) = fetch([Source("checkpoint", "hf:facebook/some-model")], tmp_path, lambda _: None, carried=True)
    assert (result.state, opened) == ("fetched", ["hf:facebook/some-model"])


def test_the_hubs_keep_files_in_the_folder(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from densekd.run.carry import use_caches_in;"
        "use_caches_in(Path(sys.argv[1])); import densekd.run.fetch, torch.hub;"
        "from huggingface_hub import constants; print(constants.HF_HUB_CACHE, torch.hub.get_dir(), sep='\\n')"
    )
    folder = tmp_path / "carried"
    command = [sys.executable, "-c", program, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(folder / "huggingface" / "hub"), str(folder / "torch" / "hub")]
