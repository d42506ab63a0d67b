"""Detectors of transformers: the library's own outputs, losses and boxes; files, packages, taps."""

import copy
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_hf import DETECTORS, QUERIES, save, stir

from densekd.builders.models import build_model, build_teacher
from densekd.builders.terms import plan_terms
from densekd.distill.probe import probe
from densekd.distill.teacher import FrozenTeacher
from densekd.distill.wiring import ProbeBatch, wire_terms
from densekd.errors import RecipeError, UserError
from densekd.models import find_model
from densekd.models.open import open_model
from densekd.models.package import PackageConfig, save_package
from densekd.models.sources.detector import Queries
from densekd.ops.boxes import Boxes
from densekd.recipe import ModelSpec, parse_recipe
from densekd.tasks import Detection

library = pytest.importorskip("transformers")
pytestmark = pytest.mark.usefixtures("_offline")

C = 3
SIZE = (64, 96)
TARGET = Boxes(
    [torch.tensor([[8.0, 16.0, 40.0, 48.0], [0.0, 0.0, 12.0, 6.0]]), torch.tensor([[70.0, 30.0, 96.0, 64.0]])],
    [torch.tensor([0, 2]), torch.tensor([1])],
    torch.tensor([SIZE, SIZE]),
)
# Center and size in units of width and height, written out.
LABELS = [
    {
        "class_labels": torch.tensor([0, 2]),
        "boxes": torch.tensor([[24 / 96, 32 / 64, 32 / 96, 32 / 64], [6 / 96, 3 / 64, 12 / 96, 6 / 64]]),
    },
    {"class_labels": torch.tensor([1]), "boxes": torch.tensor([[83 / 96, 47 / 64, 26 / 96, 34 / 64]])},
]
EMPTY = Boxes([torch.zeros(0, 4)] * 2, [torch.zeros(0, dtype=torch.int64)] * 2, torch.tensor([SIZE, SIZE]))
PYRAMIDS = ("d_fine", "rt_detr", "rt_detr_v2")
SUMMANDS = {"d_fine": {"vfl", "bbox", "giou", "fgl", "ddf"}, "rt_detr": {"vfl", "bbox", "giou"}}


@pytest.fixture
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No word leaves the machine, whatever the library would like to look up."""

    def refuse(*unused: Any, **ignored: Any) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)


def tiny(model_type: str, **changes: Any) -> Any:
    torch.manual_seed(0)
    return stir(find_model(f"hf:{model_type}")(num_classes=C, config=DETECTORS[model_type] | changes)).eval()


def theirs(model: Any) -> Any:
    """Return the library's own detector with the same weights and mode."""
    torch.manual_seed(1)
    original = library.AutoModelForObjectDetection.from_config(model.network.config)
    original.load_state_dict(model.network.state_dict())
    return original.train(model.training)


def images(height: int = SIZE[0], width: int = SIZE[1]) -> torch.Tensor:
    return torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("model_type", DETECTORS)
@torch.no_grad()
def test_outputs_are_the_librarys(model_type: str) -> None:
    model, x = tiny(model_type), images()
    expected = theirs(model)(pixel_values=model.normalize(x))
    output = model(x)
    assert output.logits.std() > 0.1
    assert torch.equal(output.logits, expected.logits)
    assert torch.equal(output.boxes, expected.pred_boxes)
    assert output.size == SIZE
    assert model.num_classes == C


@pytest.mark.parametrize(
    ("model_type", "changes"), [*((name, {}) for name in DETECTORS), ("detr", {"auxiliary_loss": False})]
)
def test_the_loss_is_the_librarys(model_type: str, changes: dict[str, Any]) -> None:
    model, x = tiny(model_type, **changes).train(), images()
    reference = theirs(model)
    expected = reference(pixel_values=model.normalize(x), labels=LABELS)
    found = model.losses(model(x), TARGET)
    assert set(found) == SUMMANDS.get(
        model_type, SUMMANDS["rt_detr"] if model_type in PYRAMIDS else {"ce", "bbox", "giou"}
    )
    torch.testing.assert_close(sum(found.values()), expected.loss, rtol=1e-6, atol=0)
    expected.loss.backward()
    sum(found.values()).backward()
    wanted = dict(reference.named_parameters())
    for name, value in model.network.named_parameters():
        # The library freezes its ResNets in DETR's family, so it has no gradient to compare with there.
        if wanted[name].grad is not None:
            torch.testing.assert_close(value.grad, wanted[name].grad, rtol=1e-4, atol=1e-6, msg=name)


def test_summands_weigh_as_the_config_says() -> None:
    model, x = tiny("detr", auxiliary_loss=False).train(), images()
    parts = theirs(model)(pixel_values=model.normalize(x), labels=LABELS).loss_dict
    found = model.losses(model(x), TARGET)
    for name, weight in (("ce", 1), ("bbox", 5), ("giou", 2)):
        torch.testing.assert_close(found[name], weight * parts[f"loss_{name}"], rtol=1e-6, atol=0)


@pytest.mark.parametrize("model_type", DETECTORS)
def test_everything_learns_with_and_without_boxes(model_type: str) -> None:
    for target in (TARGET, EMPTY):
        model = tiny(model_type).train()
        losses = model.losses(model(images()), target)
        assert all(value.isfinite() and value.ndim == 0 for value in losses.values())
        sum(losses.values()).backward()
        without = {name for name, value in model.named_parameters() if value.requires_grad and value.grad is None}
        assert without == set()
        assert model.backbone.training
        assert any(value.grad.abs().sum() > 0 for value in model.backbone.parameters())


@pytest.mark.parametrize("model_type", DETECTORS)
@torch.no_grad()
def test_detections_are_the_librarys(model_type: str) -> None:
    """The processors of RT-DETR and Deformable DETR serve their kin too."""
    kind = {"detr": "Detr"}.get(model_type, "RTDetr" if model_type in PYRAMIDS else "DeformableDetr")
    processor = getattr(library, f"{kind}ImageProcessor")()
    model = tiny(model_type)
    logits = model(images()).logits
    middle, side = torch.rand(2, 12, 2), torch.rand(2, 12, 2) / 2
    output = Queries(logits + torch.randn_like(logits), torch.cat([middle, side], 2), SIZE, ((), {}))
    raw = library.models.detr.modeling_detr.DetrObjectDetectionOutput(logits=output.logits, pred_boxes=output.boxes)
    options = {"top_k": QUERIES["num_queries"]} if kind == "DeformableDetr" else {}
    expected = processor.post_process_object_detection(raw, 0.0, torch.tensor([SIZE, SIZE]), **options)
    sizes = torch.tensor([SIZE, (40, 50)])
    for found, one, (height, width) in zip(model.detect(output, sizes), expected, sizes.tolist(), strict=True):
        order = one["scores"].sort(descending=True, stable=True).indices
        boxes = one["boxes"][order].clamp(min=0)
        boxes = torch.stack([boxes[:, k].clamp(max=(width, height)[k % 2]) for k in range(4)], 1)
        kept = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
        torch.testing.assert_close(found.boxes, boxes[kept], rtol=0, atol=1e-4)
        torch.testing.assert_close(found.scores, one["scores"][order][kept])
        assert torch.equal(found.labels, one["labels"][order][kept])
        assert len(found.boxes) > (4 if height == SIZE[0] else 0)
        assert int(found.labels.max()) < C


@torch.no_grad()
def test_boxes_in_the_padding_are_not_found() -> None:
    model = tiny("detr")
    logits = torch.full((1, 3, C + 1), -9.0)
    logits[0, 0, 1], logits[0, 1, 0], logits[0, 2, C] = 9, 5, 9
    boxes = torch.tensor([[[0.25, 0.25, 0.5, 0.5], [0.9, 0.5, 0.1, 0.2], [0.5, 0.5, 0.2, 0.2]]])
    (found,) = model.detect(Queries(logits, boxes, (100, 200), ((), {})), torch.tensor([[40, 150]]))
    # The second begins at x = 170, the third is "no object" and begins at y = 40.
    assert found.boxes.tolist() == [[0, 0, 100, 40]]
    assert found.labels.tolist() == [1]


TAPS = {
    "detr": {"features": [(16, 8), (8, 8), (4, 16), (2, 16)], "neck": [(2, 32)], "cls": C + 1},
    "conditional_detr": {"features": [(2, 16)], "neck": [(2, 32)], "cls": C},
    "deformable_detr": {
        "features": [(8, 8), (4, 16), (2, 16)], "neck": [(8, 32), (4, 32), (2, 32), (1, 32)], "cls": C,
    },
    **{
        name: {"features": [(8, 8), (4, 16), (2, 16)], "neck": [(8, 16), (4, 16), (2, 16)], "cls": C}
        for name in PYRAMIDS
    },
}  # fmt: skip


@pytest.mark.parametrize("model_type", DETECTORS)
def test_taps(model_type: str) -> None:
    model = tiny(model_type)
    taken = probe(model, list(model.taps), images())
    expected: dict[str, Any] = TAPS[model_type]
    for part in ("features", "neck"):
        found = [value.shape for name, value in taken.items() if name.startswith(part)]
        assert [(shape[2], shape[1]) for shape in found] == expected[part]
        assert all(2 * shape[3] in (3 * shape[2], 3 * shape[2] + 1) for shape in found)
    with torch.no_grad():
        output = model(images())
    assert taken["cls"].shape == (2, expected["cls"], 12, 1)
    assert torch.equal(taken["cls"][1, :, 5, 0], output.logits[1, 5])
    assert torch.equal(taken["reg"][0, :, 7, 0], output.boxes[0, 7])


@pytest.mark.parametrize("model_type", DETECTORS)
def test_what_lies_behind_the_taps_is_not_run(model_type: str) -> None:
    """A copy's hooks are its own, and a pass that was cut short leaves nothing behind."""
    original = tiny(model_type)
    expected = probe(original, list(original.taps), images())
    model = copy.deepcopy(original)
    ran: list[str] = []
    model.network.model.encoder.register_forward_pre_hook(lambda *unused: ran.append("encoder"))
    model.network.model.decoder.register_forward_pre_hook(lambda *unused: ran.append("decoder"))
    for tap, parts in (("features.0", []), ("neck.0", ["encoder"])):
        teacher = FrozenTeacher(model, [tap])
        teacher(images())
        ran.clear()
        assert torch.equal(teacher(images())[tap], expected[tap])
        assert ran == parts
    whole = probe(model, list(original.taps), images())
    assert all(torch.equal(whole[name], value) for name, value in expected.items())


@torch.no_grad()
def test_encoded_tokens_are_maps_in_their_places() -> None:
    """A level's map, flattened, is that level's part of what the library's decoder receives."""
    for model_type in ("detr", "deformable_detr"):
        model = tiny(model_type)
        seen: list[Any] = []
        model.network.model.decoder.register_forward_pre_hook(
            lambda module, inputs, named, seen=seen: seen.append(named["encoder_hidden_states"]), with_kwargs=True
        )
        taken = probe(model, [name for name in model.taps if name.startswith("neck")], images())
        assert torch.equal(torch.cat([x.flatten(2).mT for x in taken.values()], 1), seen[0])


@pytest.mark.parametrize("model_type", DETECTORS)
@torch.no_grad()
def test_any_size_of_image(model_type: str) -> None:
    model = tiny(model_type, **({"eval_size": 640, "anchor_image_size": [640, 640]} if model_type in PYRAMIDS else {}))
    for height, width in ((96, 64), (70, 90)):
        output = model(images(height, width))
        assert output.logits.shape[:2] == (2, 12)
        (found, _) = model.detect(output, torch.tensor([(height, width)] * 2))
        assert (found.boxes <= torch.tensor([width, height] * 2)).all()


def test_half_precision_learns_in_full() -> None:
    model = tiny("rt_detr").train()
    with torch.autocast("cpu", torch.bfloat16):
        output = model(images())
        losses = Detection(C).losses(model, output, {}, TARGET)
    assert output.logits.dtype == torch.bfloat16
    assert {value.dtype for value in losses.values()} == {torch.float32}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An RT-DETR of five classes with denoising queries, saved beside its preprocessing."""
    save("rt_detr", 5, tmp_path / "model")
    library.RTDetrImageProcessor().save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_a_teacher_keeps_its_classes(folder: Path) -> None:
    teacher: Any = build_teacher(ModelSpec(model=f"hf:{folder}"), C).model
    original = library.AutoModelForObjectDetection.from_pretrained(folder, dtype=torch.float32)
    assert teacher.num_classes == 5
    assert teacher.normalize.scale.flatten().tolist() == [1, 1, 1]
    assert teacher.notes == ()
    with torch.no_grad():
        torch.testing.assert_close(teacher.eval()(images()).logits, original.eval()(images()).logits)
    assert not Detection(C).fits(teacher, images())
    assert Detection(5).fits(teacher, images())


def test_a_student_has_a_head_of_the_datas_classes(folder: Path) -> None:
    student: Any = build_model(ModelSpec(model=f"hf:{folder}"), C, "student").model
    original = library.AutoModelForObjectDetection.from_pretrained(folder, dtype=torch.float32).state_dict()
    assert student.num_classes == C
    state = student.network.state_dict()
    changed = {key for key, value in state.items() if not torch.equal(value, original[key])}
    assert {key.rpartition(".")[0] for key in changed} == {
        "model.enc_score_head", "model.decoder.class_embed.0", "model.decoder.class_embed.1",
    }  # fmt: skip
    # Labels never reach the forward, so there is nothing to denoise and no weight that would never learn.
    assert set(original) - set(state) == {"model.denoising_class_embed.weight"}
    assert "6 weights of the model are not in its files: model.decoder.class_embed.0.bias" in student.notes[0]


@pytest.mark.parametrize("model_type", DETECTORS)
@torch.no_grad()
def test_a_package_needs_no_folder(tmp_path: Path, model_type: str) -> None:
    save(model_type, 5, tmp_path / "model")
    student: Any = build_model(ModelSpec(model=f"hf:{tmp_path / 'model'}"), C, "student").model
    shutil.rmtree(tmp_path / "model")
    name, content = student.packaged
    assert name == f"hf:{model_type}"
    save_package(student, PackageConfig(name, content, ["a", "b", "c"], [[0, 0, 0]] * 3), tmp_path / "student")
    loaded = open_model(tmp_path / "student").model
    student.to(memory_format=torch.channels_last)  # as the loaded one, so that every sum has the same order
    torch.testing.assert_close(loaded(images()).boxes, student.eval()(images()).boxes, rtol=0, atol=1e-6)
    assert str(tmp_path) not in (tmp_path / "student" / "config.json").read_text()


def test_backbones_of_timm_come_without_weights_and_learn() -> None:
    timm = {"model_type": "timm_backbone", "backbone": "resnet18", "out_indices": [1, 2, 3, 4]}
    model = find_model("hf:detr")(num_classes=C, config={**QUERIES, "backbone_config": timm})
    assert [x.shape[1] for x in probe(model, ["features.0", "features.3"], images()).values()] == [64, 512]
    assert all(value.requires_grad for value in model.backbone.parameters())  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("model_type", "config", "message"),
    [
        ("detr", {"backbone": "nobody/resnet"}, r"hf:detr: config: a backbone's name .* 'backbone_config'"),
        ("rt_dert", {}, r"hf:rt_dert: with 'config', a model type.*Did you mean 'rt_detr'\?"),
        ("rt_detr", {"num_queries": "many"}, r"hf:rt_detr: config: .*num_queries"),
    ],
)
def test_what_is_refused(model_type: str, config: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        find_model(f"hf:{model_type}")(num_classes=C, config=config)


def test_a_teacher_must_be_complete(tmp_path: Path) -> None:
    whole = save("detr", 5, tmp_path)
    whole.model.save_pretrained(tmp_path / "body")
    with pytest.raises(UserError, match=r"are not in its files: bbox_predictor.*A teacher must be complete"):
        build_teacher(ModelSpec(model=f"hf:{tmp_path / 'body'}"), 5)


def test_its_maps_teach_our_detector() -> None:
    recipe = {
        "name": "tiny",
        "data": {"dataset": "coco", "root": "."},
        "task": {"kind": "detection"},
        "student": {"model": "gfl", "options": {"backbone": "resnet18_025", "channels": 64, "depth": 1}},
        "teacher": {"model": "hf:rt_detr", "options": {"config": DETECTORS["rt_detr"]}, "checkpoint": "untrained"},
        "distill": [
            {"method": "pkd", "weight": 1, "student": "neck.{0,1,2}", "teacher": "neck.{0,1,2}", "adapter": "conv"},
            {"method": "cwd", "weight": 1, "student": "features.{1,3}", "teacher": "features.{0,2}", "adapter": "conv"},
        ],
        "optimizer": {"method": "adamw", "lr": 0.001},
        "training": {"steps": 1},
    }
    parsed = parse_recipe(recipe, "test")
    student = build_model(parsed.student, C, "student").model
    teacher = build_teacher(parsed.teacher, C).model  # type: ignore[arg-type]
    target = Detection(C).probe_target((128, 128), "present")
    probed = ProbeBatch(torch.rand(1, 3, 128, 128), target, {"num_classes": C, "ignore_index": 255}, "many")
    terms = wire_terms(plan_terms(parsed), student, teacher, probed)
    assert list(terms) == ["pkd-0", "pkd-1", "pkd-2", "cwd-0", "cwd-1"]
    teacher_features = FrozenTeacher(teacher, ["neck.1"])(images())
    student_features = probe(student, ["neck.1"], images())
    assert terms["pkd-1"](student_features, teacher_features, TARGET) > 0
    assert all(not parameter.requires_grad for parameter in teacher.parameters())
