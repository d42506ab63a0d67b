"""int8 after the training and trained int8: calibrated, searched, verified in both engines, or refused."""

import json
import os
import re
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from exported_runs import CLASSES, PSPNET, make_run
from PIL import Image
from tiny_data import make_folder, tiny_recipe
from torch import nn
from typer.testing import CliRunner

from densekd.cli.app import app
from densekd.errors import RecipeError, UserError
from densekd.export import verify
from densekd.export.calibration import write_calibration
from densekd.export.export import export
from densekd.export.int8 import job
from densekd.export.int8.layers import chosen_layers, find_layers
from densekd.export.int8.quantize_onnx import Quantizer
from densekd.export.int8.search import Target, search
from densekd.export.options import ExportOptions
from densekd.export.prepare import prepare
from densekd.export.verdict import Verdict
from densekd.hardware import cpu_saturates
from densekd.models import MODELS
from densekd.models.open import open_model
from densekd.models.package import config_of, save_package
from densekd.ops.interpolation import resize
from densekd.quantize import apply_plan, calibrate, make_plan, plan_of
from densekd.recipe import dump_recipe, parse_recipe

FPN = {"backbone": "resnet18_025", "channels": 16}
SIZE = (48, 64)


def images_of(data: Path, split: str) -> torch.Tensor:
    pictures = [np.array(Image.open(path)) for path in sorted((data / "images" / split).iterdir())]
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255


def fit(model: nn.Module, data: Path, steps: int) -> nn.Module:
    """Train on all training images at once."""
    images = images_of(data, "train")
    labels = [np.array(Image.open(path)) for path in sorted((data / "labels" / "train").iterdir())]
    wanted = torch.from_numpy(np.stack(labels)).long()
    optimizer = torch.optim.AdamW(model.parameters(), 0.005)
    model.train()
    for _ in range(steps):
        output = model(images)
        logits = output[0] if isinstance(output, tuple) else output
        loss = F.cross_entropy(resize(logits, SIZE, align_corners=False), wanted, ignore_index=255)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return model.eval()


def save_run(root: Path, model: nn.Module, name: str = "pspnet", options: Any = None, **changes: Any) -> Path:
    """Write a run with a student on the data in ``root/data``."""
    folder = root / "run"
    folder.mkdir()
    (folder / "recipe.yaml").write_text(dump_recipe(parse_recipe(tiny_recipe(root / "data"), "test")))
    config = replace(config_of(name, options or PSPNET, CLASSES, "segmentation"), **changes)
    save_package(model, config, folder / "student")
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, nn.Module]:
    """A run with a student that has learnt its data."""
    root = tmp_path_factory.mktemp("trained")
    data = make_folder(root / "data", {"train": 8, "val": 4}, size=SIZE)
    torch.manual_seed(0)
    model = fit(MODELS["pspnet"](num_classes=3, **PSPNET), data, 30)
    return save_run(root, model), model


@pytest.fixture(scope="module")
def exported(trained: tuple[Path, nn.Module]) -> list[Verdict]:
    """The same run in int8, in both engines."""
    return export(trained[0], "onnx,openvino", precision="fp32,int8", allow=5)


def test_both_engines_are_verified(trained: tuple[Path, nn.Module], exported: list[Verdict]) -> None:
    by_name = {f"{verdict.engine}-{verdict.precision}": verdict for verdict in exported}
    assert {verdict.status for verdict in exported} == {"verified"}, exported
    for engine, quantizer in (("onnx", "ONNX Runtime"), ("openvino", "NNCF")):
        verdict = by_name[f"{engine}-int8"]
        assert verdict.quantizer == quantizer
        assert verdict.calibrated == 8
        assert verdict.torch_score is not None
        assert verdict.torch_score > 30
        assert verdict.kept_float == ("head.classifier",)
        assert list(verdict.drops) == ["class0", "class1", "class2"]
        # Rounded to integers: near, but not the same.
        assert verdict.difference is not None
        assert 1e-3 < verdict.difference < 1
    weights = [(trained[0] / "export" / f"openvino-{name}" / "model.bin").stat().st_size for name in ("fp32", "int8")]
    assert weights[1] < 0.4 * weights[0]
    about = json.loads((trained[0] / "export" / "onnx-int8" / "model.json").read_text())
    assert about["verdict"]["quantizer"] == "ONNX Runtime"


def test_weights_are_int8_for_each_channel(trained: tuple[Path, nn.Module], exported: list[Verdict]) -> None:
    graph = onnx.load(trained[0] / "export" / "onnx-int8" / "model.onnx").graph
    constants = {value.name: onnx.numpy_helper.to_array(value) for value in graph.initializer}
    weights = [name for name, value in constants.items() if value.dtype == np.int8 and value.ndim == 4]
    floats = [name for name, value in constants.items() if value.dtype == np.float32 and value.ndim == 4]
    assert len(weights) == 28 - 1
    assert [name for name in floats if name.endswith(".weight")] == ["model.head.classifier.weight"]
    scales = [node.input[1] for node in graph.node if node.op_type == "DequantizeLinear" and node.input[0] in weights]
    for weight, scale in zip(weights, scales, strict=True):
        assert constants[scale].shape == (len(constants[weight]),)


def test_ranges_are_those_of_training_pictures(trained: tuple[Path, nn.Module], tmp_path: Path) -> None:
    run, _ = trained
    options = ExportOptions(calibrate=3)
    subject = prepare(open_model(run), run, options)
    found = write_calibration(subject, options, tmp_path)
    pictures = np.load(found.pictures)
    assert found.count == 3
    train = (255 * images_of(run.parent / "data", "train")).round().byte().permute(0, 2, 3, 1).numpy()
    assert np.array_equal(pictures, train[[0, 4, 7]]) or np.array_equal(pictures, train[[0, 3, 7]])


def test_int8_needs_data(tmp_path: Path, trained: tuple[Path, nn.Module]) -> None:
    folder = tmp_path / "alone"
    save_package(trained[1], config_of("pspnet", PSPNET, CLASSES, "segmentation"), folder)
    with pytest.raises(UserError, match=r"int8 needs training pictures.*--data RECIPE"):
        export(folder, "onnx", precision="int8", size="48x64")
    # A recipe says where they are; the command line says the same in one message.
    recipe = trained[0] / "recipe.yaml"
    (verdict,) = export(folder, "onnx", precision="int8", data=recipe, allow=3, out=tmp_path / "out")
    assert verdict.status == "verified"
    result = CliRunner().invoke(app, ["export", str(folder), "--to", "onnx", "--precision", "int8"])
    assert result.exit_code != 0
    with pytest.raises(RecipeError, match="--calibrate: at least 1"):
        ExportOptions(calibrate=0)


def test_a_layer_that_is_not_there(trained: tuple[Path, nn.Module], tmp_path: Path) -> None:
    """Names are checked before anything is converted."""
    for name, near in (("neck.*", "There are backbone.conv1.0"), ("head.clasifier", "Nearest: head.classifier")):
        with pytest.raises(RecipeError, match=rf"the model has no layer '{re.escape(name)}'. {near}"):
            export(trained[0], "onnx", precision="fp32,int8", keep_float=name, out=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_first_graph_that_costs_too_much_is_searched(
    trained: tuple[Path, nn.Module], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an order layers are searched where int8 is refused; with one the order is the answer."""
    asked: list[tuple[str, ...]] = []

    def judged(verdict: Verdict, limits: object) -> str:
        del limits
        # As if the score had dropped, at the first time.
        asked.append(verdict.kept_float)
        return "it costs 9 points." if len(asked) == 1 else ""

    monkeypatch.setattr(verify, "_too_bad", judged)
    (verdict,) = export(trained[0], "onnx", precision="int8", out=tmp_path / "first")
    assert verdict.status == "verified"
    assert len(asked) == 2
    assert verdict.kept_float[0] == "head.classifier"
    assert len(verdict.kept_float) > 1
    assert "a first int8 graph was refused: it costs 9 points; then layers were searched" in verdict.note
    about = json.loads((tmp_path / "first" / "onnx-int8" / "model.json").read_text())
    assert about["verdict"]["note"] == verdict.note
    # The next one is refused: the verified one stays, and that is said.
    asked.clear()
    (verdict,) = export(trained[0], "onnx", precision="int8", keep_float="last", out=tmp_path / "first")
    assert verdict.status == "refused"
    assert len(asked) == 1
    assert verdict.earlier == str(tmp_path / "first" / "onnx-int8")
    assert json.loads((tmp_path / "first" / "onnx-int8" / "model.json").read_text()) == about


def test_a_quantizer_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/sh")
    monkeypatch.setattr(job, "_COMMAND", ("-c", "exec sleep 60"))
    order = job.Job("onnx", "graph", "pictures", "float", 1, "logits", [], False, 1, 1, str(tmp_path), str(tmp_path))
    with pytest.raises(UserError, match="did nothing for 0 s, and was ended"):
        job.run_job(order, silence=0.2)


def test_nothing_reports_its_use() -> None:
    """OpenVINO and NNCF have stand-ins for what sends reports."""
    pytest.importorskip("nncf")
    program = (
        "from densekd.export.int8.telemetry import forbid_telemetry\n"
        "forbid_telemetry()\n"
        "from nncf.telemetry.wrapper import NNCFTelemetry, telemetry\n"
        "import openvino.tools.ovc.telemetry_utils as utils\n"
        "print(isinstance(telemetry, NNCFTelemetry), utils.tm.__name__)\n"
    )
    environment = {name: value for name, value in os.environ.items() if name not in ("CI", "NNCF_CI", "NNCF_DEV")}
    command = [sys.executable, "-c", program]
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert said.stdout.strip().endswith("False openvino.tools.ovc.telemetry_stub")


def test_named_layers_stay_float(trained: tuple[Path, nn.Module], tmp_path: Path) -> None:
    (verdict,) = export(trained[0], "onnx", precision="int8", keep_float="last,backbone.layer4", allow=5, out=tmp_path)
    assert verdict.kept_float[0] == "head.classifier"
    assert len(verdict.kept_float) == 1 + 5
    assert all(name.startswith("backbone.layer4.") for name in verdict.kept_float[1:])


def broken_chain() -> nn.Module:
    """Return six convolutions; between the third and the fourth one channel has an outlier range."""
    torch.manual_seed(0)
    layers: list[nn.Module] = [nn.Conv2d(3, 8, 3, padding=1), nn.ReLU()]
    for _ in range(5):
        layers += [nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()]
    with torch.no_grad():
        for layer in layers[::2]:
            nn.init.kaiming_normal_(layer.weight)  # type: ignore[arg-type]
        # The network computes what it did: the next layer takes the factor back.
        layers[4].weight[0] *= 3000  # type: ignore[index,operator]
        layers[4].bias[0] = 3000.0  # type: ignore[index,operator]
        layers[6].weight[:, 0] /= 3000  # type: ignore[index,operator]
    return nn.Sequential(*layers, nn.Conv2d(8, 3, 1)).eval()


def test_the_search_puts_back_what_costs_most(tmp_path: Path) -> None:
    path = tmp_path / "graph.onnx"
    batches = [torch.rand(1, 3, 16, 16).numpy() for _ in range(4)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(broken_chain(), (torch.from_numpy(batches[0]),), path, dynamo=False, opset_version=17)
    told: list[str] = []
    quantizer = Quantizer(path, batches, lambda what, number, count: told.append(what))
    kept = list(quantizer.layers.last)
    assert kept == ["12"]
    found = search(quantizer, kept, batches, "numbers", Target(0.5), lambda what, number, count: told.append(what))
    assert found.enough
    assert found.after <= 0.5 < found.before / 4
    # The layer before the outlier or behind it; nothing else costs as much.
    assert set(found.kept) & {"4", "6"}
    assert set(found.ranked[:2]) == {"4", "6"}
    assert set(told) == {"calibrating", "searching", "putting back"}
    # Where int8 is good enough, nothing is put back.
    assert search(quantizer, kept, batches, "numbers", Target(1e6), lambda *_: None).kept == []
    # Good enough for training pictures, but not for somebody: a share of the cost is accepted.
    again = search(quantizer, kept, batches, "numbers", Target(1e6, 0.25), lambda *_: None)
    assert again.kept
    assert again.after <= 0.25 * again.before


@pytest.fixture(scope="module", params=["fpn", "pspnet", "deeplabv3"])
def quantized(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a student that was trained in int8; at 48 x 64 pooled maps are enlarged by factors like 8 / 3."""
    root = tmp_path_factory.mktemp("quantized")
    name = request.param
    options = FPN if name == "fpn" else PSPNET
    data = make_folder(root / "data", {"train": 8, "val": 4}, size=SIZE)
    torch.manual_seed(0)
    model = fit(MODELS[name](num_classes=3, **options), data, 20)
    images = images_of(data, "train")
    apply_plan(model, make_plan(model, images[:1]))
    calibrate(model, [images])
    fit(model, data, 4)
    plan = plan_of(model)
    assert plan is not None
    return save_run(root, model, name, options, quantization=plan.entries())


def test_a_student_that_was_trained_in_int8(quantized: Path) -> None:
    found = export(quantized, "onnx,openvino", precision="int8,fp32", allow=5)
    verdicts = {f"{verdict.engine}-{verdict.precision}": verdict for verdict in found}
    exact = verdicts["onnx-int8"]
    if cpu_saturates():
        assert exact.status == "refused"
        assert "no VNNI" in exact.reason
        pytest.skip("integer products saturate on this processor")
    assert exact.status == "verified", exact.reason
    # Its own integers: nothing was measured again.
    assert exact.quantizer == "training"
    assert exact.calibrated == 0
    assert exact.difference is not None
    assert exact.difference <= 1e-4
    assert exact.drop == pytest.approx(0, abs=1e-9)
    graph = onnx.load(quantized / "export" / "onnx-int8" / "model.onnx").graph
    codes = [value for value in graph.initializer if onnx.numpy_helper.to_array(value).dtype == np.int8]
    assert len(codes) > 20
    # The other engine rounds in its own order: the score tells.
    other = verdicts["openvino-int8"]
    assert other.status in ("verified", "refused")
    assert other.difference is not None
    # Without fake quantization it is another network, which equals itself.
    for engine in ("onnx", "openvino"):
        verdict = verdicts[f"{engine}-fp32"]
        assert verdict.status == "verified", verdict.reason
        assert "another network" in verdict.note
        assert verdict.quantizer == ""


def node(kind: str, name: str, inputs: list[str], output: str) -> onnx.NodeProto:
    return onnx.helper.make_node(kind, inputs, [output], name)


def test_layers_and_their_names() -> None:
    """A linear layer is named after its bias, pooling is no layer, and what is behind the last layers is decoding."""
    nodes = [
        node("Conv", "a", ["image", "model.stem.weight", "model.stem.bias"], "x1"),
        node("MatMul", "rows", ["val_1", "x1"], "x2"),
        node("MatMul", "columns", ["x2", "val_2"], "x3"),
        node("MatMul", "b", ["x3", "val_3"], "x4"),
        node("Add", "c", ["model.head.linear.bias", "x4"], "x5"),
        node("Conv", "/model/head/levels.0/levels.0.1/Conv", ["x5", "onnx::Conv_7"], "x6"),
        node("Sigmoid", "d", ["x6"], "scores"),
    ]
    names = [
        "model.stem.weight",
        "model.stem.bias",
        "val_1",
        "val_2",
        "val_3",
        "model.head.linear.bias",
        "onnx::Conv_7",
    ]
    constants = [onnx.numpy_helper.from_array(np.zeros((1, 1, 1, 1), np.float32), name) for name in names]
    output = onnx.helper.make_tensor_value_info("scores", onnx.TensorProto.FLOAT, None)
    layers = find_layers(onnx.helper.make_graph(nodes, "graph", [], [output], constants))
    assert list(layers.nodes) == ["stem", "head.linear", "head.levels.0.1"]
    assert layers.last == ("head.levels.0.1",)
    assert set(layers.float_nodes) == {"d", "rows", "columns"}
    assert chosen_layers(layers, ["last", "st*"]) == ["head.levels.0.1", "stem"]
    with pytest.raises(ValueError, match="no layer 'tail'"):
        chosen_layers(layers, ["tail"])


def test_a_transformer(tmp_path: Path) -> None:
    """Attention: layers alone are quantized, sums and norms stay float."""
    pytest.importorskip("nncf")
    run = make_run(tmp_path, "segformer", {"channels": 32})
    found = export(run, "onnx,openvino", precision="int8", allow=100)
    assert [verdict.status for verdict in found] == ["verified", "verified"]
