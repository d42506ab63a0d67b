"""First recipes: what is written is read, trained and said."""

import shutil
import sys
from pathlib import Path

import pytest
import torch
from dataset_trees import make_coco
from tiny_data import make_depth, make_folder

from densekd.data.classes import Classes
from densekd.errors import UserError
from densekd.init import propose as proposing
from densekd.init.choose import choose
from densekd.init.look import look
from densekd.init.machine import Machine, this_machine
from densekd.init.propose import propose
from densekd.models import MODELS
from densekd.models.classes import unnamed_classes
from densekd.models.package import config_of, save_package
from densekd.recipe import load_recipe
from densekd.run.preflight import check

CPU = Machine("cpu", "CPU with 2 cores", 16.0, False)
GPU = Machine("cuda", "a GPU", 80.0, True)


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proposing, "is_reachable", lambda address: False)


def test_both_recipes_are_checked_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_folder(tmp_path / "data", {"train": 6, "val": 3})
    monkeypatch.chdir(tmp_path)
    proposal = propose(Path("data"))
    assert [path.name for path in proposal.files] == ["teacher.yaml", "student.yaml"]
    assert all(minutes > 0 for minutes in proposal.minutes)
    teacher, student = (load_recipe(path) for path in proposal.files)
    assert teacher.teacher is None
    assert student.teacher is not None
    assert student.teacher.checkpoint == "runs/teacher"
    assert student.baseline == "train"
    check(teacher, "auto")
    assert any("random weights" in note for note in proposal.notes)


@pytest.mark.parametrize("task", ["detection", "depth"])
def test_other_tasks(task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    if task == "depth":
        make_depth(tmp_path / "data", {"train": 3, "val": 2})
    else:
        for split in ("train", "val"):
            make_coco(tmp_path / "data" / f"instances_{split}.json", tmp_path / "data" / split)
    proposal = propose(Path("data"))
    for path in proposal.files:
        assert load_recipe(path).task.kind == task
    check(load_recipe(proposal.files[0]), "auto")


def test_a_teacher_that_is_there_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_folder(tmp_path / "data", {"train": 6, "val": 3})
    monkeypatch.chdir(tmp_path)
    package(tmp_path / "mine", look(root).train.classes)
    proposal = propose(root, teacher="mine", out=tmp_path / "recipes")
    assert [path.name for path in proposal.files] == ["student.yaml"]
    recipe = load_recipe(proposal.files[0])
    assert recipe.teacher is not None
    assert recipe.teacher.checkpoint == "mine"
    check(recipe, "auto")
    with pytest.raises(UserError, match="nowhere"):
        propose(root, teacher="nowhere", out=tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_a_detector_of_other_classes_teaches_its_neck(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for split in ("train", "val"):
        make_coco(tmp_path / "data" / f"instances_{split}.json", tmp_path / "data" / split)
    package(tmp_path / "coco", unnamed_classes(80), "gfl")
    proposal = propose(Path("data"), teacher="coco")
    assert any("teaches the features of its neck" in note for note in proposal.notes)
    recipe = load_recipe(proposal.files[0])
    assert [(term.method, term.teacher) for term in recipe.distill] == [("pkd", "neck.{0,1,2,3}")]
    check(recipe, "auto")


def test_images_alone_are_learnt_from_the_teacher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_folder(tmp_path / "data", {"train": 6, "val": 3})
    package(tmp_path / "mine", look(root).train.classes)
    monkeypatch.chdir(tmp_path)
    shutil.copytree(root / "images", tmp_path / "pictures")
    proposal = propose(Path("pictures"), teacher="mine")
    recipe = load_recipe(proposal.files[0])
    assert (recipe.data.dataset, recipe.task.kind, recipe.baseline) == ("unlabelled", "none", None)
    assert len(proposal.found.train) == 6
    check(recipe, "auto")


def test_recipes_are_not_replaced(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "data", {"train": 6, "val": 3})
    (tmp_path / "student.yaml").write_text("mine\n")
    with pytest.raises(UserError, match=r"student\.yaml is there already; --force replaces it"):
        propose(root, tmp_path)
    assert (tmp_path / "student.yaml").read_text() == "mine\n"
    propose(root, tmp_path, replace=True)
    assert load_recipe(tmp_path / "student.yaml").name == "student"


def test_a_limit_of_milliseconds_is_kept(tmp_path: Path) -> None:
    found = look(make_folder(tmp_path / "data", {"train": 6, "val": 3}))
    with pytest.raises(UserError, match=r"--ms 0\.001: the fastest student takes .* ms"):
        choose(found, this_machine(), 0.001, network=False)
    chosen = choose(found, this_machine(), 10_000, network=False)
    assert chosen.milliseconds is not None
    assert chosen.student.options["backbone"] == "resnet50"


def test_sizes_follow_data_and_machine(tmp_path: Path) -> None:
    found = look(make_folder(tmp_path / "data", {"train": 6, "val": 3}, size=(600, 1200)))
    small, large = choose(found, CPU, None, network=True), choose(found, GPU, None, network=True)
    assert (small.short_side, small.size, small.crop) == (256, (256, 512), (256, 256))
    # 600 is close to what a GPU takes whole; wide scenes get a wide crop.
    assert (large.short_side, large.size, large.crop) == (None, (600, 1200), (512, 1024))
    assert small.batch == 6
    assert large.teacher.options["backbone"] == "resnet101"
    assert small.student.pretrained


def test_names_of_pretrained_weights_are_timms() -> None:
    import timm

    from densekd.init.choose import _STUDENTS, _TEACHERS, _USUAL

    models = [*_TEACHERS.values()]
    for several in (*_STUDENTS.values(), *_USUAL.values()):
        models += several
    for model in models:
        MODELS[model.name](num_classes=2, **model.options)
        if model.pretrained:
            assert model.pretrained in timm.list_pretrained(), model.pretrained


def test_the_command_says_what_comes_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from densekd.cli.app import main

    make_folder(tmp_path / "data", {"train": 6, "val": 3})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["densekd", "init", "data"])
    monkeypatch.setenv("PYTHONSAFEPATH", "")
    with pytest.raises(SystemExit) as stopped:
        main()
    printed = capsys.readouterr().out
    assert not stopped.value.code
    assert "6 images to learn from, 3 to validate on" in printed
    assert printed.rstrip().endswith("next: densekd train teacher.yaml")


def package(folder: Path, classes: Classes, name: str = "fpn") -> None:
    """Write a teacher's package."""
    torch.manual_seed(0)
    options = {"backbone": "resnet18_025", "channels": 16}
    model = MODELS[name](num_classes=len(classes.names), **options)
    task = "segmentation" if name == "fpn" else "detection"
    save_package(model, config_of(name, options, classes, task), folder)
