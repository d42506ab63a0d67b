"""Models of transformers: the library's own numbers, weights from folders, packages without files."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_hf import MASKS, SEMANTIC, SWIN, TASK, save, stir

from densekd.builders.models import build_model, build_teacher
from densekd.distill.probe import probe
from densekd.distill.taps import Taps
from densekd.errors import RecipeError, UserError
from densekd.models import find_model
from densekd.models.open import open_model
from densekd.models.package import PackageConfig, save_package
from densekd.recipe import ModelSpec
from densekd.tasks.common import upsample

library = pytest.importorskip("transformers")
pytestmark = pytest.mark.usefixtures("_offline")


@pytest.fixture
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def tiny(model_type: str, classes: int = 3) -> Any:
    processor = TASK if model_type == "oneformer" else None
    config = {**SEMANTIC, **MASKS}[model_type]
    return stir(find_model(f"hf:{model_type}")(num_classes=classes, config=config, processor=processor)).eval()


def images(height: int = 64, width: int = 64) -> torch.Tensor:
    return torch.rand(2, 3, height, width)


@pytest.mark.parametrize("model_type", SEMANTIC)
@torch.no_grad()
def test_logits_are_the_librarys(model_type: str) -> None:
    model, x = tiny(model_type), images()
    theirs = model.network(pixel_values=model.normalize(x)).logits
    ours = model(x)
    assert theirs.std() > 0.01
    # UperNet's forward enlarges its logits, ours does not.
    torch.testing.assert_close(upsample(model, ours, theirs.shape[-2:]), theirs, rtol=1e-5, atol=1e-6)
    assert model_type != "upernet" or ours.shape[-1] == 16


TAPS = {
    "beit": [(4, 16)] * 4,
    "dpt": [(4, 16)] * 4,
    "eomt": [(4, 16)] * 4,
    "mask2former": [(16, 8), (8, 16), (4, 32), (2, 64)],
    "mobilevit": [(32, 8), (16, 16), (8, 16), (4, 24)],
    "segformer": [(16, 8), (8, 8), (4, 16), (2, 16)],
    "upernet": [(16, 8), (8, 16), (4, 32), (2, 64)],
}


@pytest.mark.parametrize("model_type", [*SEMANTIC, *MASKS])
def test_taps(model_type: str) -> None:
    model = tiny(model_type)
    taken = probe(model, ["logits", *model.taps], images())
    assert all(value.ndim == 4 for value in taken.values())
    assert taken["logits"].shape[1] == 3
    if model_type in TAPS:
        maps = [taken[f"features.{i}"] for i in range(4)]
        assert [(x.shape[-1], x.shape[1]) for x in maps] == TAPS[model_type]


@pytest.mark.parametrize("model_type", [*SEMANTIC, *MASKS])
def test_any_size_of_image(model_type: str) -> None:
    taken = probe(tiny(model_type), ["logits", "features.3"], images(70, 90))
    height, width = taken["logits"].shape[-2:]
    fixed = model_type in ("data2vec-vision", "dpt", "eomt", "eomt_dinov3")
    assert (height == width) == fixed


@torch.no_grad()
def test_tokens_are_maps_in_their_places() -> None:
    """The maps are those that the library's own neck receives: of the embedding and the first three blocks."""
    model = tiny("beit")
    seen: list[torch.Tensor] = []
    model.network.fpn.register_forward_hook(lambda module, inputs, output: seen.extend(inputs[0]))
    _, taken = Taps(model, ["features.0", "features.2"])(images(64, 96))
    assert torch.equal(taken["features.0"], seen[1])
    assert torch.equal(taken["features.2"], seen[3])


@torch.no_grad()
def test_pre_logits_make_the_logits() -> None:
    for model_type, classifier in (("segformer", "decode_head"), ("upernet", "decode_head"), ("beit", "decode_head")):
        model = tiny(model_type)
        taken = probe(model, ["logits", "pre_logits"], images())
        classify = model.network.get_submodule(f"{classifier}.classifier")
        torch.testing.assert_close(classify(taken["pre_logits"]), taken["logits"])


def test_the_librarys_own_preprocessing(folder: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    ours = torch.from_numpy(picture).permute(2, 0, 1)[None] / 255
    for kind, options in (
        ("SegformerImageProcessor", {}),
        ("BeitImageProcessor", {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.5, 0.6, 0.7], "do_center_crop": False}),
        ("MobileViTImageProcessor", {"do_center_crop": False}),
        ("SegformerImageProcessor", {"do_rescale": False, "image_mean": [100, 110, 120], "image_std": [50, 60, 70]}),
    ):
        processor = getattr(library, kind)(do_resize=False, **options)
        theirs = torch.as_tensor(np.asarray(processor(picture, return_tensors="np")["pixel_values"]))
        processor.save_pretrained(folder)
        model: Any = build_teacher(ModelSpec(model=f"hf:{folder}"), 5).model
        torch.testing.assert_close(model.normalize(ours), theirs.float(), rtol=1e-5, atol=1e-5, msg=kind)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A SegFormer of five classes, saved in half precision beside its preprocessing."""
    save("segformer", 5, tmp_path / "model", torch.float16)
    library.SegformerImageProcessor(image_mean=[0.5, 0.5, 0.5]).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_a_teacher_keeps_its_head(folder: Path) -> None:
    teacher: Any = build_teacher(ModelSpec(model=f"hf:{folder}"), 3).model
    original = library.AutoModelForSemanticSegmentation.from_pretrained(folder, dtype=torch.float32)
    assert teacher.eval()(images()).shape[1] == 5
    assert teacher.normalize.mean.flatten().tolist() == [0.5, 0.5, 0.5]
    state = original.state_dict()
    for key, value in teacher.network.state_dict().items():
        assert value.dtype == state[key].dtype
        assert torch.equal(value, state[key]), key
    assert teacher.notes == ()


def test_a_student_has_a_head_of_the_datas_classes(folder: Path) -> None:
    student: Any = build_model(ModelSpec(model=f"hf:{folder}"), 3, "student").model
    original = library.AutoModelForSemanticSegmentation.from_pretrained(folder, dtype=torch.float32).state_dict()
    assert all(module.training for module in student.modules())
    assert student.eval()(images()).shape[1] == 3
    changed = {key for key, value in student.network.state_dict().items() if not torch.equal(value, original[key])}
    assert changed == {"decode_head.classifier.weight", "decode_head.classifier.bias"}
    assert student.notes == (
        f"hf:{folder}: 2 weights of the model are not in its files: decode_head.classifier.bias, "
        "decode_head.classifier.weight; they start fresh",
    )


def test_a_student_grows_on_a_bare_backbone(tmp_path: Path) -> None:
    whole = save("segformer", 5, tmp_path)
    whole.segformer.save_pretrained(tmp_path / "backbone")
    student: Any = build_model(ModelSpec(model=f"hf:{tmp_path / 'backbone'}"), 3, "student").model
    state = whole.segformer.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in student.backbone.state_dict().items())
    assert "decode_head.linear_fuse.weight" in student.notes[0] or "decode_head.batch_norm" in student.notes[0]
    with pytest.raises(UserError, match=r"are not in its files: decode_head\..*, \.\.\.\. A teacher must be complete"):
        build_teacher(ModelSpec(model=f"hf:{tmp_path / 'backbone'}"), 5)


def test_untrained_means_untrained(folder: Path) -> None:
    teacher: Any = build_teacher(ModelSpec(model=f"hf:{folder}", checkpoint="untrained"), 3).model
    assert teacher(images()).shape[1] == 3
    original = library.AutoModelForSemanticSegmentation.from_pretrained(folder, dtype=torch.float32)
    key = "segformer.encoder.stages.0.patch_embeddings.proj.weight"
    key = key if key in original.state_dict() else next(k for k, v in original.state_dict().items() if v.ndim == 4)
    assert not torch.equal(teacher.network.state_dict()[key], original.state_dict()[key])


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"model": "hf:segformer", "options": {"config": {}}}, r"teacher\.checkpoint is missing"),
        ({"model": "hf:{folder}", "pretrained": "resnet18"}, r"teacher\.pretrained: 'hf:.*' names its weights already"),
        ({"model": "hf:{folder}/nothing"}, r"hf:.*/nothing: cannot be had from a local folder or the hub: "),
        ({"model": "hf:nobody/nothing"}, r"hf:nobody/nothing: cannot be had from a local folder or the hub: "),
        (
            {"model": "hf:segfromer", "options": {"config": {}}, "checkpoint": "untrained"},
            r"hf:segfromer: with 'config', a model type.*Did you mean 'segformer'\?",
        ),
        (
            {"model": "hf:segformer", "options": {"config": {"depths": 3}}, "checkpoint": "untrained"},
            r"hf:segformer: config: .*depths",
        ),
        (
            {"model": "hf:{folder}", "options": {"weights": "all"}},
            r"'weights' is measured from the models and data",
        ),
        ({"model": "hf:{folder}", "options": {"confg": {}}}, r"unknown option 'confg'\. Did you mean 'config'\?"),
    ],
)  # fmt: skip
def test_what_cannot_be_had(folder: Path, spec: dict[str, Any], message: str) -> None:
    spec = spec | {"model": spec["model"].format(folder=folder)}
    with pytest.raises(UserError, match=message):
        build_teacher(ModelSpec(**spec), 3)


def test_other_types_of_model_are_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(RecipeError, match=r"a model of type 'bert' neither segments semantically.*segformer"):
        build_teacher(ModelSpec(model=f"hf:{tmp_path}"), 3)


def test_pickles_are_refused(folder: Path) -> None:
    state = {k: v.float() for k, v in torch.load(_as_pickle(folder), weights_only=True).items()}
    assert state
    with pytest.raises(UserError, match=r"cannot be had.*safetensors|cannot be had.*no file named"):
        build_teacher(ModelSpec(model=f"hf:{folder}"), 5)


def _as_pickle(folder: Path) -> Path:
    from safetensors.torch import load_file

    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    return folder / "pytorch_model.bin"


def test_code_that_comes_with_a_model_is_not_run(tmp_path: Path) -> None:
    settings = {"model_type": "mine", "auto_map": {"AutoConfig": "mine.Config"}}
    (tmp_path / "config.json").write_text(json.dumps(settings))
    (tmp_path / "mine.py").write_text("raise SystemExit('executed')\n")
    with pytest.raises(UserError, match="cannot be had"):
        build_teacher(ModelSpec(model=f"hf:{tmp_path}"), 3)


def test_attention_code_is_not_fetched() -> None:
    config = {**SEMANTIC["upernet"], "attn_implementation": "somebody/attention"}
    config["backbone_config"] = {**SWIN, "attn_implementation": "somebody/attention"}
    settings = find_model("hf:upernet")(3, config=config).network.config  # type: ignore[union-attr]
    assert {settings._attn_implementation, settings.backbone_config._attn_implementation} <= {"sdpa", "eager"}


@pytest.mark.parametrize("model_type", ["segformer", "upernet", "mask2former", "oneformer"])
def test_a_package_needs_no_folder(tmp_path: Path, model_type: str) -> None:
    save(model_type, 5, tmp_path / "model")
    library.SegformerImageProcessor(image_mean=[0.1, 0.2, 0.3]).save_pretrained(tmp_path / "model")
    options = {"processor": {"image_mean": [0.1, 0.2, 0.3], **TASK}} if model_type == "oneformer" else {}
    student: Any = build_model(ModelSpec(model=f"hf:{tmp_path / 'model'}", options=options), 3, "student").model
    shutil.rmtree(tmp_path / "model")
    student.auxiliary = None
    name, content = student.packaged
    assert name == f"hf:{model_type}"
    config = PackageConfig(name, content, ["a", "b", "c"], [[0, 0, 0]] * 3)
    save_package(student, config, tmp_path / "student")
    loaded = open_model(tmp_path / "student")
    x = images()
    student.to(memory_format=torch.channels_last)  # as the loaded one, so that every sum has the same order
    torch.testing.assert_close(loaded.model(x), student.eval()(x), rtol=0, atol=1e-6)
    assert loaded.config == config
    assert not any("auxiliary" in key for key in loaded.model.state_dict())
    assert str(tmp_path) not in (tmp_path / "student" / "config.json").read_text()


def test_the_auxiliary_head() -> None:
    model = tiny("upernet")
    taken = probe(model, ["aux"], images())
    assert taken["aux"].shape == (2, 3, 4, 4)
    model.auxiliary = None
    assert "aux" not in model.taps
    assert model(images()).shape == (2, 3, 16, 16)
    segformer = tiny("segformer")
    segformer.auxiliary = None  # there is none, and none appears
    assert not hasattr(segformer.network, "auxiliary_head")


def test_a_backbone_teaches_features(tmp_path: Path) -> None:
    config = library.Dinov2WithRegistersConfig(
        hidden_size=16, num_hidden_layers=8, num_attention_heads=2, image_size=56, patch_size=14, num_register_tokens=2
    )
    original = stir(library.Dinov2WithRegistersModel(config)).eval()
    original.save_pretrained(tmp_path)
    teacher: Any = build_teacher(ModelSpec(model=f"hf:{tmp_path}"), 3).model
    x = images(42, 70)
    taken = probe(teacher, list(teacher.taps), x)
    assert [list(value.shape) for value in taken.values()] == [[2, 16, 3, 5]] * 4
    with torch.no_grad():
        tokens = original(teacher.normalize(x)).last_hidden_state  # normalized; a class token, two registers, patches
    torch.testing.assert_close(taken["features.3"].flatten(2).mT, tokens[:, 3:], rtol=1e-5, atol=1e-5)
    assert isinstance(teacher(images(40, 41)), list)


def test_a_classifiers_stages_teach_features(tmp_path: Path) -> None:
    swin = {k: v for k, v in SWIN.items() if k not in ("model_type", "out_features")}
    original = stir(library.SwinForImageClassification(library.SwinConfig(**swin))).eval()
    original.save_pretrained(tmp_path)
    teacher: Any = build_teacher(ModelSpec(model=f"hf:{tmp_path}"), 3).model
    x = images()
    found = probe(teacher, ["features.2"], x)["features.2"]
    stage: list[torch.Tensor] = []
    original.swin.encoder.layers[2].blocks[-1].register_forward_hook(lambda m, inputs, output: stage.append(output))
    with torch.no_grad():
        original(teacher.normalize(x))
    tokens = stage[0][0] if isinstance(stage[0], tuple) else stage[0]
    torch.testing.assert_close(found.flatten(2).mT, torch.nn.functional.layer_norm(tokens, (32,)))


@pytest.mark.parametrize(
    ("config", "maps"),
    [
        (lambda: library.ResNetConfig(embedding_size=8, hidden_sizes=[8, 8, 16, 16], depths=[1] * 4),
         [(16, 8), (8, 8), (4, 16), (2, 16)]),
        (lambda: library.ConvNextConfig(hidden_sizes=[8, 8, 16, 16], depths=[1] * 4),
         [(16, 8), (8, 8), (4, 16), (2, 16)]),
        (lambda: library.SwinConfig(**{k: v for k, v in SWIN.items() if k not in ("model_type", "out_features")}),
         [(16, 8), (8, 16), (4, 32), (2, 64)]),
        (lambda: library.DINOv3ViTConfig(hidden_size=16, num_hidden_layers=4, num_attention_heads=2,
                                         intermediate_size=16, num_register_tokens=2), [(4, 16)] * 4),
    ],
    ids=["resnet", "convnext", "swin", "dinov3"],
)  # fmt: skip
def test_any_backbone_teaches_features(config: Any, maps: list[tuple[int, int]], tmp_path: Path) -> None:
    config().save_pretrained(tmp_path)
    teacher = build_teacher(ModelSpec(model=f"hf:{tmp_path}", checkpoint="untrained"), 3).model
    taken = probe(teacher, list(teacher.taps), images())  # type: ignore[arg-type]
    assert [(x.shape[-1], x.shape[1]) for x in taken.values()] == maps
    assert probe(teacher, ["features.3"], images(61, 67))


def test_oneformers_task_is_read_from_its_tokenizer(tmp_path: Path) -> None:
    words = ["<|startoftext|>", "<|endoftext|>", "the</w>", "task</w>", "is</w>", "semantic</w>"]
    letters = sorted(set("thetaskissemantic"))
    vocabulary = [*letters, *(f"{c}</w>" for c in letters), *words]
    merges: list[str] = []
    for word in ("the", "task", "is", "semantic"):
        left = word[0]
        for k, c in enumerate(word[1:], 1):
            right = c + ("</w>" if k == len(word) - 1 else "")
            merges.append(f"{left} {right}")
            left += c
            vocabulary.append(left + ("</w>" if k == len(word) - 1 else ""))
    ordered = {token: k for k, token in enumerate(dict.fromkeys(vocabulary))}
    save("oneformer", 5, tmp_path)
    (tmp_path / "vocab.json").write_text(json.dumps(ordered))
    (tmp_path / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "CLIPTokenizer"}))
    teacher: Any = build_teacher(ModelSpec(model=f"hf:{tmp_path}"), 5).model
    expected = [ordered[w] for w in (words[0], *words[2:], words[1])] + [0, 0]
    assert teacher.task.tolist() == [expected]


def test_a_missing_library_is_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UserError, match=r"needs transformers, which is not installed: pip install 'densekd\[hf\]'"):
        find_model("hf:segformer")(3, config={})


def test_unknown_sources_are_told_the_known_ones() -> None:
    with pytest.raises(RecipeError, match=r"'hugging:x' cannot be imported.*hf:NAME, smp:NAME, timm:NAME"):
        find_model("hugging:x")
    with pytest.raises(RecipeError, match=r"Unknown model 'pspnett'\. Did you mean 'pspnet'\?.*hf:NAME"):
        find_model("pspnett")
