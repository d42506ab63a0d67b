"""The QDQ graph: ONNX Runtime with its integer kernels computes what the quantized student does."""

import warnings
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_quantized import TINY, Tensors, tiny_float, tiny_quantized
from torch import nn

from densekd.api.load import load
from densekd.errors import UserError
from densekd.hardware import cpu_saturates
from densekd.models.classes import unnamed_classes
from densekd.models.package import config_of, save_package
from densekd.quantize import apply_plan, exportable, make_plan, plan_of, remove

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")


def export(model: nn.Module, images: torch.Tensor, path: Path, exporter: str) -> None:
    settings = {"dynamo": True} if exporter == "dynamo" else {"dynamo": False, "opset_version": 17}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(model, (images,), path, verbose=False, **settings)  # type: ignore[arg-type]


def run(path: Path, images: torch.Tensor, level: str) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    found: list[np.ndarray] = session.run(None, {session.get_inputs()[0].name: images.numpy()})
    return found


@pytest.mark.parametrize("exporter", ["trace", "dynamo"])
@pytest.mark.parametrize("name", ["fpn", "pspnet", "segformer", "gfl"])
def test_onnxruntime_equals_the_student(name: str, exporter: str, tmp_path: Path) -> None:
    model = tiny_quantized(name)
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        expected = [value.numpy() for value in Tensors(model)(images)]
    path = tmp_path / "student.onnx"
    export(Tensors(exportable(model)).eval(), images, path, exporter)
    largest = max(np.abs(value).max() for value in expected)
    # As the graph says, and fused into integer kernels, whose products some processors cut off.
    levels = ["ORT_DISABLE_ALL"] if cpu_saturates() else ["ORT_DISABLE_ALL", "ORT_ENABLE_ALL"]
    for level in levels:
        found = run(path, images, level)
        difference = max(np.abs(a - b).max() for a, b in zip(found, expected, strict=True))
        assert difference <= 1e-4 * largest


def test_weights_are_integers_with_the_trained_steps(tmp_path: Path) -> None:
    model = tiny_quantized("fpn")
    path = tmp_path / "student.onnx"
    export(exportable(model), torch.rand(1, 3, 64, 64), path, "trace")
    graph = onnx.load(path).graph
    constants = {value.name: onnx.numpy_helper.to_array(value) for value in graph.initializer}
    integers = [value for value in constants.values() if value.dtype == np.int8]
    # Every convolution but the classifier.
    operations = Counter(node.op_type for node in graph.node)
    assert len(integers) == operations["Conv"] - 1
    assert "BatchNormalization" not in operations
    # The first one, folded by hand.
    conv, norm = model.backbone.conv1[0], model.backbone.conv1[1]  # type: ignore[index,union-attr]
    gain = norm.weight / (norm.running_var + norm.eps).sqrt()
    folded = conv._parameters["weight"] * gain[:, None, None, None]
    step = 2 ** torch.ceil(torch.log2(folded.abs().amax((1, 2, 3)) / 127).clamp(min=-40))
    wanted = torch.round(folded / step[:, None, None, None]).to(torch.int8)
    first = next(value for value in integers if value.shape == tuple(wanted.shape))
    assert np.array_equal(first, wanted.numpy())
    assert not first[1].any()


def test_openvino_is_near(tmp_path: Path) -> None:
    """OpenVINO rounds in its own order: the labels agree, not the bits."""
    openvino = pytest.importorskip("openvino")
    model = tiny_quantized("fpn")
    images = torch.rand(2, 3, 64, 64)
    path = tmp_path / "student.onnx"
    export(exportable(model), images, path, "trace")
    compiled = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = torch.from_numpy(compiled(images.numpy())[0])
    with torch.no_grad():
        expected = model(images)
    assert (found.argmax(1) == expected.argmax(1)).float().mean() > 0.9


def test_what_has_no_integers_is_refused() -> None:
    with pytest.raises(UserError, match="The model is not quantized"):
        exportable(tiny_float("fpn"))
    model = tiny_float("fpn")
    apply_plan(model, make_plan(model, torch.rand(1, 3, 64, 64)))
    with pytest.raises(UserError, match="no range yet"):
        exportable(model)


def test_a_copy_is_made_and_the_student_stays_as_it_is() -> None:
    model = tiny_quantized("fpn")
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        before = model(images)
        copied = exportable(nn.Sequential(model))
        assert torch.equal(copied(images), before)
        assert torch.equal(model(images), before)
    assert not next(iter(copied.parameters())).requires_grad
    assert any(parameter.requires_grad for parameter in model.parameters())


def test_a_package_opens_as_it_was_trained(tmp_path: Path) -> None:
    model = tiny_quantized("fpn")
    plan = plan_of(model)
    assert plan is not None
    kind, options = TINY["fpn"]
    options = {key: value for key, value in options.items() if key != "num_classes"}
    config = replace(config_of(kind, options, unnamed_classes(5), "segmentation"), quantization=plan.entries())
    save_package(model, config, tmp_path)
    loaded = load(tmp_path)
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        expected = model(images)
        torch.testing.assert_close(loaded(images), expected, rtol=0, atol=1e-6)
        # The class that the Python interface gives a model is no obstacle.
        torch.testing.assert_close(exportable(loaded)(images), expected, rtol=0, atol=1e-6)
        assert (remove(loaded)(images) - expected).abs().max() > 1e-4
    save_package(model, replace(config, quantization={"layers": "all"}), tmp_path)
    with pytest.raises(UserError, match=r"config\.json: its 'quantization' is malformed"):
        load(tmp_path)
