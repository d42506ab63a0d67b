"""Training from a teacher cache: the same training, without the teacher; and what is refused."""

import io
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from densekd.builders.build import Built, build
from densekd.builders.teacher_cache import Cache
from densekd.data.files import SegmentationFiles
from densekd.data.sampler import ONE_PROCESS, Draw, StepSampler
from densekd.errors import RecipeError, UserError
from densekd.recipe import parse_recipe
from densekd.run.folder import RunFolder
from densekd.run.train import Launch, fill_cache, fit, train
from densekd.teacher_cache import CachedTeacher, Store, store
from densekd.teacher_cache.store import gigabytes
from densekd.terminal import Terminal

QUIET = Terminal(quiet=True)


@pytest.fixture
def cached(recipe: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    """A recipe whose teacher is replayed; random weights, the same at every build."""
    torch.manual_seed(1)
    teacher = build(parse_recipe(recipe, "test")).distiller.student
    torch.save(teacher.state_dict(), tmp_path / "teacher.pth")
    recipe["teacher"] = recipe["student"] | {"checkpoint": str(tmp_path / "teacher.pth")}
    recipe["teacher"]["cache"] = {"folder": str(tmp_path / "cache"), "views": 2, "dtype": "fp32"}
    recipe["distill"] = [
        {"method": "cwd", "weight": 3},
        {"method": "l2", "weight": 1, "student": "features.1", "teacher": "features.1"},
    ]
    return recipe


def made(content: dict[str, Any]) -> Built:
    return build(parse_recipe(content, "test"))


def cache_of(content: dict[str, Any], fill: str = "filled") -> Cache:
    cache = made(content).cache
    assert cache is not None
    if fill == "filled":
        fill_cache(cache, QUIET)
    return cache


def losses(built: Built, steps: int) -> list[dict[str, Tensor]]:
    """Take steps by hand, with replayed or live taught tensors, and return the losses of each."""
    built.distiller._trainer = None
    samples = built.samples
    sampler = StepSampler(len(samples), 4, steps, 0, ONE_PROCESS)
    collate = getattr(samples, "collate", None)
    assert collate is not None
    values = []
    for draws in sampler:
        batch = collate([samples[random_sample] for random_sample in draws])
        values.append(built.distiller.training_step(batch, 0)["losses"])
    return values


def test_what_is_replayed_is_what_the_live_teacher_says(cached: dict[str, Any]) -> None:
    """Bit for bit on a CPU, whichever images are in the batch; one of another size may take another kernel."""
    cache = cache_of(cached)
    built = made(cached)
    assert isinstance(built.distiller.teacher, CachedTeacher)
    samples = built.samples
    for numbers in ((0, 1, 2, 3), (11, 3, 8, 6), (5, 4), (11,)):
        batch = samples.collate([samples[Draw(n % 6, n)] for n in numbers])  # type: ignore[union-attr]
        images = built.distiller.task.images(batch).contiguous(memory_format=torch.channels_last)
        live, replayed = cache.teacher(images), built.distiller.teacher(batch["teacher_features"])
        assert live.keys() == replayed.keys() == {"logits", "features.1"}
        for path, tensor in live.items():
            if len(numbers) == 4:
                assert torch.equal(replayed[path], tensor), path
            torch.testing.assert_close(replayed[path], tensor, rtol=1e-5, atol=1e-6, msg=path)
            assert replayed[path].stride() == tensor.stride()
    replayed_losses = losses(built, 3)
    built.distiller.teacher = cache.teacher
    for one, other in zip(replayed_losses, losses(built, 3), strict=True):
        assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_views_are_replayed_in_turn(cached: dict[str, Any]) -> None:
    cache_of(cached)
    samples = made(cached).samples
    first, second, third = (samples[Draw(2, 2 + 6 * epoch)] for epoch in range(3))
    assert torch.equal(first.sample.image, third.sample.image)  # type: ignore[union-attr]
    assert not torch.equal(first.sample.image, second.sample.image)  # type: ignore[union-attr]
    cached["training"]["seed"] = 7
    other = made(cached).samples[Draw(2, 2)]
    assert torch.equal(other.sample.image, first.sample.image)  # type: ignore[union-attr]


def test_a_training_never_runs_the_teacher(
    cached: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache_of(cached)
    runs: list[int] = []
    fitting: list[int] = []

    def build_and_count(recipe: Any) -> Built:
        built = build(recipe)
        assert built.scored_teacher is not None
        built.scored_teacher.register_forward_hook(lambda *_: runs.append(len(fitting)))
        return built

    def fit_and_note(*args: Any) -> None:
        fitting.append(1)
        fit(*args)
        fitting.clear()

    monkeypatch.setattr("densekd.run.train.build", build_and_count)
    monkeypatch.setattr("densekd.run.train.fit", fit_and_note)
    for folder, workers in (("one", 0), ("two", 2)):
        cached["data"]["workers"] = workers
        train(parse_recipe(cached, "t"), RunFolder(tmp_path / folder), Launch("cpu", "1"), "refuse", QUIET)
    # It is scored before and after.
    assert len(runs) > 0
    assert sum(runs) == 0
    one, two = (load_file(tmp_path / folder / "student" / "model.safetensors") for folder in ("one", "two"))
    assert all(torch.equal(value, two[name]) for name, value in one.items())


def test_filling_goes_on_where_it_stopped(cached: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_SHARD", 10_000)
    cache = cache_of(cached)
    files = sorted(cache.store.folder.glob("*.safetensors"))
    assert len(files) == len(cache.store.layout.shards) > 2
    assert sum(f.stat().st_size for f in files) == pytest.approx(cache.store.layout.bytes, rel=0.2)
    whole = files[1].read_bytes()
    files[1].unlink()
    again = cache_of(cached, "not filled")
    assert again.store.missing() == [1]
    fill_cache(again, QUIET)
    assert files[1].read_bytes() == whole
    assert again.store.missing() == []


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("views", 3, r"views\.count is 2 there and 3 here"),
        ("seed", 5, r"views\.seed is 0 there and 5 here"),
        ("dtype", "bf16", r"stored\.dtype is fp32 there and bf16 here"),
        ("top_k", 2, r"stored\.top_k is 0 there and 2 here"),
    ],
)
def test_another_cache_is_refused(cached: dict[str, Any], key: str, value: Any, message: str) -> None:
    cache_of(cached)
    cached["teacher"]["cache"][key] = value
    with pytest.raises(UserError, match=rf"made with something else: {message}\. Name another folder"):
        made(cached)


def test_other_weights_data_taps_and_precision_are_refused(cached: dict[str, Any], tmp_path: Path) -> None:
    folder = cache_of(cached).store.folder
    path = tmp_path / "teacher.pth"
    state = torch.load(path, weights_only=True)
    changed = {key: value + 1 if key.endswith("classifier.bias") else value for key, value in state.items()}
    torch.save(changed, path)
    with pytest.raises(UserError, match=r"teacher\.digest is \w+ there and \w+ here\."):
        made(cached)
    torch.save(state, path)
    assert made(cached).cache.store.missing() == []  # type: ignore[union-attr]
    whole = list(cached["distill"])
    for change, message in (
        ({"distill": whole[:1]}, r"taps\.features\.1 is 32x4x4 there and None here"),
        ({"augment": {"crop": [32, 32], "flip": 0.25}}, r"views\.flip is 0\.5 there and 0\.25 here"),
        ({"teacher": cached["teacher"] | {"precision": "bf16"}}, r"teacher\.precision is 32 there and bf16 here"),
        ({"data": cached["data"] | {"train": "train+val"}}, r"data\.files is \w+ there"),
    ):
        with pytest.raises(UserError, match=message):
            made(cached | change)
    (folder / "cache.json").write_text("{")
    with pytest.raises(UserError, match=r"cache\.json, line 1: not valid JSON"):
        made(cached)


def test_a_folder_of_something_else_is_refused(cached: dict[str, Any], tmp_path: Path) -> None:
    cached["teacher"]["cache"]["folder"] = str(tmp_path)
    with pytest.raises(UserError, match="is no teacher cache, and not empty"):
        made(cached)


def test_an_image_that_changed_is_found(cached: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    cache_of(cached)
    samples = made(cached).samples
    pair = SegmentationFiles.pair

    def changed(files: SegmentationFiles, index: int) -> tuple[np.ndarray, np.ndarray]:
        image, label = pair(files, index)
        return (image ^ 1, label) if index == 1 else (image, label)

    monkeypatch.setattr(SegmentationFiles, "pair", changed)
    assert samples[Draw(0, 0)].sample.image.shape == (3, 32, 32)  # type: ignore[union-attr]
    with pytest.raises(UserError, match="the teacher saw another image where '001' is now"):
        samples[Draw(1, 1)]


def test_size_is_said_beforehand_and_must_fit(cached: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    cache = cache_of(cached, "not filled")
    layout = cache.store.layout
    # 3 classes at stride 4 and 32 channels at stride 8, float32, and a checksum.
    assert layout.entry_bytes == 4 * (3 * 8 * 8 + 32 * 4 * 4) + 8
    assert layout.bytes == 12 * layout.entry_bytes
    console = Terminal(record=True, width=200, file=io.StringIO())
    monkeypatch.setattr(store, "free_bytes", lambda folder: 1000)
    with pytest.raises(UserError, match=r"teacher\.cache: 3\.39e-05 GB are to be written.*has room for 1e-06 GB"):
        fill_cache(cache, console)
    said = console.export_text()
    assert "6 images x 2 views, 2.824 kB each" in said
    assert gigabytes(layout.bytes) in said
    assert not cache.store.folder.exists()


def test_top_k_needs_logits(cached: dict[str, Any]) -> None:
    cached["teacher"]["cache"]["top_k"] = 3
    with pytest.raises(RecipeError, match=r"teacher\.cache\.top_k: no tapped logits have more than 3 classes"):
        made(cached)


def test_readers_travel_to_other_processes(cached: dict[str, Any]) -> None:
    reader = cache_of(cached).store
    entry = reader[3]
    copy: Store = pickle.loads(pickle.dumps(reader))
    assert copy[3].checksum == entry.checksum
    assert torch.equal(copy[3].teacher_features["logits"]["values"], entry.teacher_features["logits"]["values"])


def test_a_damaged_file_is_named(cached: dict[str, Any]) -> None:
    reader = cache_of(cached).store
    (reader.folder / "000000.safetensors").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"000000\.safetensors: cannot be read.*Delete it"):
        reader.__class__(reader.folder, reader.layout)[0]
    facts = json.loads((reader.folder / "cache.json").read_text())
    assert facts["format"] == 1


def test_a_check_says_the_size_and_leaves_nothing_behind(cached: dict[str, Any]) -> None:
    from densekd.run.preflight import check

    console = Terminal(record=True, width=160, file=io.StringIO())
    console.print(check(parse_recipe(cached, "t")))
    assert "3.39e-05 GB; the steps below run the teacher" in console.export_text()
    assert not Path(cached["teacher"]["cache"]["folder"]).exists()
