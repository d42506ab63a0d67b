"""Weights in several files: the index joins them, and says which file is missing."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from densekd.errors import UserError
from densekd.models.checkpoints import Checkpoint

FIRST = {"a.weight": torch.ones(2)}
SECOND = {"b.weight": torch.zeros(3)}


def write_shards(folder: Path, stem: str, suffix: str) -> Path:
    """Write two files and their index, as transformers does."""
    save = save_file if suffix == "safetensors" else torch.save
    places = {}
    for number, state in enumerate((FIRST, SECOND), 1):
        name = f"{stem}-{number:05}-of-00002.{suffix}"
        save(state, folder / name)
        places |= dict.fromkeys(state, name)
    index = folder / f"{stem}.{suffix}.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 20}, "weight_map": places}))
    return index


@pytest.mark.parametrize(("stem", "suffix"), [("model", "safetensors"), ("pytorch_model", "bin")])
def test_files_of_an_index_are_joined(tmp_path: Path, stem: str, suffix: str) -> None:
    index = write_shards(tmp_path, stem, suffix)
    # By the index, by the folder, by one of the files.
    for path in (index, tmp_path, tmp_path / f"{stem}-00001-of-00002.{suffix}"):
        state = Checkpoint.read(path).state
        assert state.keys() == (FIRST | SECOND).keys()
        assert torch.equal(state["b.weight"], SECOND["b.weight"])


def test_a_missing_file_of_an_index_is_named(tmp_path: Path) -> None:
    index = write_shards(tmp_path, "model", "safetensors")
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(UserError, match=r"1 of its 2 files are not beside it: model-00002-of-00002\.safetensors"):
        Checkpoint.read(index)
    index.unlink()
    with pytest.raises(UserError, match=r"one of several files; the index .* model\.safetensors\.index\.json, is not"):
        Checkpoint.read(tmp_path / "model-00001-of-00002.safetensors")


def test_an_index_stays_in_its_folder(tmp_path: Path) -> None:
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "../other.safetensors"}}))
    with pytest.raises(UserError, match="names files outside of its folder"):
        Checkpoint.read(index)
    index.write_text("[1]")
    with pytest.raises(UserError, match="is no index of weights"):
        Checkpoint.read(index)
    write_shards(tmp_path, "model", "safetensors")
    content = json.loads(index.read_text())
    content["weight_map"]["c.weight"] = "model-00001-of-00002.safetensors"
    index.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"1 of its weights are in none of its files, the first is c\.weight"):
        Checkpoint.read(index)


def test_a_distributed_checkpoint_says_how_to_join_it(tmp_path: Path) -> None:
    (tmp_path / ".metadata").write_bytes(b"x")
    with pytest.raises(UserError, match=r"a distributed checkpoint .* dcp_to_torch"):
        Checkpoint.read(tmp_path)
