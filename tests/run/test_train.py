"""A whole training: files, exact resume wherever it was interrupted, a teacher that stays as it is, bad losses."""

import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from forked import Forked
from training_runs import CPU, QUIET, StopAt, Wholes, assert_same, checkpoint, losses, parsed, run, weights

import densekd
from densekd.errors import RecipeError, UserError
from densekd.recipe import dump_recipe, parse_recipe
from densekd.run.callbacks import resume_command
from densekd.run.fit import require_shares
from densekd.run.folder import RunFolder
from densekd.run.train import train
from densekd.seal import read_document, sealed_text
from densekd.stopping import Interrupted


@pytest.fixture(scope="session")
def teacher(data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained teacher's run folder."""
    from tiny_data import tiny_recipe

    folder = tmp_path_factory.mktemp("teacher") / "run"
    train(parse_recipe(tiny_recipe(data_root), "test"), RunFolder(folder), CPU, "refuse", QUIET)
    return folder


@pytest.fixture(scope="module")
def wholes(tmp_path_factory: pytest.TempPathFactory) -> Wholes:
    return Wholes(tmp_path_factory.mktemp("wholes"))


@pytest.fixture
def distilled(recipe: dict[str, Any], teacher: Path) -> dict[str, Any]:
    """A recipe with dropout, an adapter, bf16, accumulation and a schedule: everything that a resume could lose."""
    recipe["teacher"] = {"checkpoint": str(teacher)}
    recipe["student"]["options"] = {"backbone": "mobilenetv3_small_050", "channels": 16, "dropout": 0.3}
    recipe["distill"] = [
        {"method": "cwd", "weight": {"value": 3, "warmup": 3}},
        {"method": "cwd", "weight": 1, "student": "pre_logits", "teacher": "features.0", "adapter": "conv-bn-relu"},
    ]
    recipe["training"] |= {"precision": "bf16", "accumulate": 2, "clip": 1.0, "validate_every": 3, "steps": 8}
    return recipe


def test_run_folder(distilled: dict[str, Any], teacher: Path, tmp_path: Path) -> None:
    distilled["baseline"] = "train"
    results = run(parsed(distilled), tmp_path / "run")
    files = {str(p.relative_to(tmp_path / "run")) for p in (tmp_path / "run").rglob("*") if p.is_file()}
    assert {"recipe.yaml", "environment.json", "metrics.csv", "results.json", "report.html"} <= files
    assert {"student/config.json", "student/model.safetensors", "baseline/student/config.json"} <= files
    assert {"checkpoints/last.ckpt", "checkpoints/best.ckpt", "predictions/000.truth.png"} <= files
    assert [f for f in files if "tensorboard/events" in f]
    assert not [f for f in files if "tmp" in f]
    assert results == read_document(tmp_path / "run" / "results.json")
    assert results["teacher"]["images"] == results["baseline"]["images"] == results["student"]["images"] == 3
    # The teacher is counted as it was, not with its batch norms folded.
    assert results["teacher"]["parameters"] == sum(p.numel() for p in densekd.load(teacher).parameters())
    assert (tmp_path / "run" / "recipe.yaml").read_text() == sealed_text(dump_recipe(parsed(distilled)))
    assert not [k for k in checkpoint(tmp_path / "run")["state_dict"] if "teacher" in k]
    model = densekd.load(tmp_path / "run")
    assert model(torch.rand(1, 3, 32, 48)).shape == (1, 3, 8, 12)
    assert {name.partition(".")[0] for name, _ in model.named_parameters()} == {"backbone", "head"}


@pytest.mark.parametrize("step", [1, 2, 3, 5, 7])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_resume_after_a_signal_is_exact(
    distilled: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wholes: Wholes, step: int, number: int
) -> None:
    if number == signal.SIGINT and step != 3:
        pytest.skip("both signals take the same path; one step is enough for the second")
    recipe = parsed(distilled)
    whole = wholes.of(recipe)
    with monkeypatch.context() as patch:
        StopAt(patch, step, number)
        with pytest.raises(Interrupted, match=f"Stopped at step {step} of 8; .*: densekd train .*parts --resume"):
            run(recipe, tmp_path / "parts")
    assert checkpoint(tmp_path / "parts")["global_step"] == step
    run(recipe, tmp_path / "parts", "resume")
    assert_same(whole, tmp_path / "parts")
    assert losses(whole) == losses(tmp_path / "parts")


def test_resume_with_memories_behind_a_shared_context_is_exact(
    distilled: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = {"student": "pre_logits", "teacher": "features.1", "resize_to": "student", "adapter": "graph-context"}
    distilled["distill"] = [
        {"method": "fitnet", "weight": 1, **shared, "adapter": "graph-context-conv"},
        {"method": "cirkd_memory", "weight": 1, **shared, "options": {"pixel_memory_size": 50}},
        {"method": "cirkd_channel", "weight": 1, **shared, "options": {"channel_memory_size": 50}},
    ]
    distilled["training"] |= {"steps": 5, "validate_every": 0}
    recipe = parsed(distilled)
    run(recipe, tmp_path / "whole")
    with monkeypatch.context() as patch:
        StopAt(patch, 3, signal.SIGTERM)
        with pytest.raises(Interrupted, match="Stopped at step 3 of 5"):
            run(recipe, tmp_path / "parts")
    before = checkpoint(tmp_path / "parts")["state_dict"]
    run(recipe, tmp_path / "parts", "resume")
    assert_same(tmp_path / "whole", tmp_path / "parts")
    assert losses(tmp_path / "whole") == losses(tmp_path / "parts")
    after = checkpoint(tmp_path / "parts")["state_dict"]
    assert [key for key in after if key.endswith("query.weight")] == ["terms.graph-context.block.query.weight"]
    moved = {key for key in after if not torch.equal(before[key], after[key])}
    memories = ("cirkd_memory.loss.memory.pixels", "cirkd_memory.loss.memory.regions", "cirkd_channel.loss.channels")
    assert {f"terms.{memory}.keys" for memory in memories} < moved
    assert "terms.graph-context.block.query.weight" in moved


@pytest.mark.parametrize("workers", [0, 2])
def test_resume_after_a_kill_is_exact(distilled: dict[str, Any], tmp_path: Path, workers: int) -> None:
    distilled["training"] |= {"steps": 30, "checkpoint_every": 3, "validate_every": 10}
    distilled["data"]["workers"] = workers
    recipe = parsed(distilled)
    (tmp_path / "recipe.yaml").write_text(dump_recipe(recipe))
    folder = tmp_path / "killed"
    process = Forked("-m", "densekd", "train", tmp_path / "recipe.yaml", "--accelerator", "cpu", "--run", folder)
    started = time.monotonic()
    while not (folder / "checkpoints" / "last.ckpt").is_file() and time.monotonic() - started < 300:
        time.sleep(0.01)
    time.sleep(0.1 + 0.4 * workers)
    process.kill()
    process.wait()
    assert 0 < checkpoint(folder)["global_step"] < 30
    run(recipe, folder, "resume")
    run(recipe, tmp_path / "whole")
    assert_same(tmp_path / "whole", folder)


def test_resuming_a_finished_run_changes_nothing(recipe: dict[str, Any], tmp_path: Path) -> None:
    run(parsed(recipe), tmp_path / "run")
    before, rows = weights(tmp_path / "run"), losses(tmp_path / "run")
    run(parsed(recipe), tmp_path / "run", "resume")
    after = weights(tmp_path / "run")
    assert all(torch.equal(before[k], after[k]) for k in before)
    assert losses(tmp_path / "run") == rows


def test_resume_under_another_recipe_names_the_keys(recipe: dict[str, Any], tmp_path: Path) -> None:
    run(parsed(recipe), tmp_path / "run")
    recipe["optimizer"]["lr"] = 0.1
    with pytest.raises(RecipeError, match=r"another recipe; these keys differ: optimizer\.lr"):
        run(parsed(recipe), tmp_path / "run", "resume")


def test_resume_for_longer_says_how(recipe: dict[str, Any], tmp_path: Path) -> None:
    run(parsed(recipe), tmp_path / "run")
    recipe["training"]["steps"] += 5
    with pytest.raises(
        RecipeError, match=r"training\.steps\. To train its student for longer: student\.checkpoint=.*run"
    ):
        run(parsed(recipe), tmp_path / "run", "resume")


def test_a_used_folder_is_refused(recipe: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match=r"exists\. Continue it with --resume, replace it with --overwrite"):
        run(parsed(recipe), tmp_path)
    with pytest.raises(UserError, match=r"holds no recipe\.yaml, so it is no run folder; it is not overwritten"):
        run(parsed(recipe), tmp_path, "overwrite")
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_teacher_is_not_changed_by_a_run(distilled: dict[str, Any], teacher: Path, tmp_path: Path) -> None:
    from densekd.builders.build import build
    from densekd.run.train import fit

    recipe = parsed(distilled)
    built = build(recipe)
    assert built.distiller.teacher is not None
    frozen = built.distiller.teacher.model
    before, stored = {key: value.clone() for key, value in frozen.state_dict().items()}, weights(teacher)
    fit(recipe, built, RunFolder(tmp_path), CPU, QUIET)
    assert all(torch.equal(before[key], value) for key, value in frozen.state_dict().items())
    assert not frozen.training
    assert not any(p.requires_grad or p.grad is not None for p in frozen.parameters())
    assert all(torch.equal(stored[key], value) for key, value in weights(teacher).items())


def test_a_bad_loss_stops_the_run_and_keeps_the_last_good_checkpoint(recipe: dict[str, Any], tmp_path: Path) -> None:
    recipe["teacher"] = {"model": "fpn", "options": {"backbone": "resnet18_025"}, "checkpoint": "untrained"}
    recipe["distill"] = [{"method": f"{__name__}:NaNAtStep", "weight": 1, "options": {"step": 5}}]
    with pytest.raises(UserError, match=r"loss 'distill/NaNAtStep' is not finite at step 5.*is from before"):
        run(parsed(recipe), tmp_path / "run")
    saved = checkpoint(tmp_path / "run")
    assert saved["global_step"] == 4
    assert all(v.isfinite().all() for v in saved["state_dict"].values())


class NaNAtStep(torch.nn.Module):
    """A loss that turns bad at one step; its counter is a buffer."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.step = step
        self.register_buffer("count", torch.zeros(()))

    def forward(self, student: torch.Tensor, teacher: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        self.count += 1
        return student.mean() * (float("nan") if self.count == self.step else 1.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, "teacher.checkpoint is missing: a teacher without weights teaches noise"),
        ({"checkpoint": "nowhere.pth", "model": "fpn"}, "nowhere.pth: no such file or folder"),
    ],
)
def test_a_teacher_without_weights_stops_the_run(
    recipe: dict[str, Any], tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    recipe["teacher"] = change
    recipe["distill"] = [{"method": "cwd", "weight": 1}]
    with pytest.raises(UserError, match=message):
        run(parsed(recipe), tmp_path / "run")


def test_a_partial_teacher_lists_the_keys(recipe: dict[str, Any], teacher: Path, tmp_path: Path) -> None:
    state = weights(teacher)
    del state["head.classifier.bias"]
    state["extra.weight"] = torch.zeros(1)
    torch.save(state, tmp_path / "partial.pth")
    recipe["teacher"] = recipe["student"] | {"checkpoint": str(tmp_path / "partial.pth")}
    recipe["distill"] = [{"method": "cwd", "weight": 1}]
    with pytest.raises(UserError, match=r"(?s)missing 1: head\.classifier\.bias.*unexpected 1: extra\.weight"):
        run(parsed(recipe), tmp_path / "run")
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_each_process_needs_a_validation_image(recipe: dict[str, Any]) -> None:
    from densekd.builders.build import build

    recipe["data"]["batch_size"] = 16
    loaded = parsed(recipe)
    built = build(loaded)
    require_shares(loaded, built, 2)
    with pytest.raises(RecipeError, match=r"data.val \(val\): 3 images for 4 processes, and each needs one"):
        require_shares(loaded, built, 4)
    with pytest.raises(RecipeError, match="a batch of 16 does not divide among 3 processes"):
        require_shares(loaded, built, 3)


def test_an_interrupted_training_says_how_it_goes_on(
    recipe: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    StopAt(monkeypatch, 2, signal.SIGINT)
    with pytest.raises(Interrupted) as stopped:
        run(parsed(recipe), tmp_path / "my run")
    assert str(stopped.value) == (
        f"Stopped at step 2 of 6; continue with: densekd train '{tmp_path / 'my run'}' --resume"
    )


def test_an_interrupted_baseline_goes_on_with_its_run(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("name: a\n")
    assert resume_command(tmp_path / "baseline") == f"densekd train {tmp_path} --resume"
    assert resume_command(tmp_path) == f"densekd train {tmp_path} --resume"


def test_a_damaged_checkpoint_alone_is_not_resumed(recipe: dict[str, Any], tmp_path: Path) -> None:
    run(parsed(recipe | {"training": {"steps": 1}}), tmp_path)
    for path in (tmp_path / "checkpoints").iterdir():
        path.write_bytes(b"damaged")
    with pytest.raises(UserError, match=r"last\.ckpt is damaged: .*No sound checkpoint is left"):
        run(parsed(recipe | {"training": {"steps": 1}}), tmp_path, "resume")


def test_a_baseline_that_is_overwritten_is_trained_anew(recipe: dict[str, Any], teacher: Path, tmp_path: Path) -> None:
    recipe["teacher"] = {"checkpoint": str(teacher)}
    recipe["distill"] = [{"method": "cwd", "weight": 3}]
    recipe |= {"baseline": "train", "training": {"steps": 1}}
    run(parsed(recipe), tmp_path)
    first = (tmp_path / "baseline" / "environment.json").stat().st_mtime_ns
    run(parsed(recipe), tmp_path, "overwrite")
    assert (tmp_path / "baseline" / "environment.json").stat().st_mtime_ns > first
