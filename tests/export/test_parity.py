"""Every architecture computes in ONNX Runtime and OpenVINO what it computes in torch, at odd sizes and batches."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from exported_runs import PSPNET, vary
from tiny_detectors import tiny_detector
from torch import nn

from densekd.export.compare import compare_arrays, compare_sets
from densekd.export.engines import ENGINES
from densekd.export.environments import ENVIRONMENTS
from densekd.export.graph import Graph
from densekd.export.modules import build_module, describe_outputs
from densekd.export.sessions.serve import load_session
from densekd.export.spec import GraphInput
from densekd.export.verify import EXACT
from densekd.models import MODELS

RESNET = {"backbone": "resnet18_025", "channels": 16}
BARE = {**RESNET, "auxiliary_channels": 0}
MOBILE = {"backbone": "mobilenetv3_small_050"}
SEGMENTORS: dict[str, dict[str, Any]] = {
    "pspnet": PSPNET,
    "pspnet align_corners": {**PSPNET, "family": "cirkd"},
    "deeplabv3": BARE,
    "deeplabv3plus": {"backbone": "resnet18_025", "auxiliary_channels": 0},
    "fcn": BARE,
    "fpn": RESNET,
    "segformer": {"backbone": "mit_b0", "channels": 16},
    "upernet": {**BARE, "family": "cirkd"},
    "upernet swin": {"backbone": "swin_tiny", "channels": 8, "auxiliary_channels": 0},
    "deeplabv3_mobile": {},
    "psp_mobile": {},
    "upernet_lite": {},
}
TRACED = {"upernet swin"}
SIZE = (65, 97)


def segmentor(name: str) -> nn.Module:
    torch.manual_seed(0)
    return MODELS[name.split()[0]](num_classes=3, **SEGMENTORS[name])


def session(name: str, folder: Path) -> Callable[[np.ndarray], list[np.ndarray]]:
    """Open an artefact in this process."""
    run: Callable[[np.ndarray], list[np.ndarray]] = load_session(str(ENGINES[name].session))(str(folder), 1)
    return run


def graph_of(model: nn.Module, task: str, kind: str, taken: GraphInput, folder: Path) -> Graph:
    module = build_module(model, task, kind, taken)
    return Graph(module, taken, describe_outputs(module, kind, taken), folder)


def assert_parity(graph: Graph, batches: tuple[int, ...], engines: tuple[str, ...] = ("onnx", "openvino")) -> None:
    for name in engines:
        folder = graph.scratch / name
        folder.mkdir()
        ENGINES[name].convert(graph, folder, "fp32")
        run = session(name, folder)
        for batch in batches:
            image = graph.input.random(batch, seed=batch)
            with torch.no_grad():
                wanted = [output.numpy() for output in graph.module(image)]
            assert [output.shape[1:] for output in wanted] == [output.shape[1:] for output in graph.outputs]
            assert compare_arrays(run(image.numpy()), wanted).largest <= EXACT, (name, batch)


def test_every_segmentor_is_here() -> None:
    assert {name.split()[0] for name in SEGMENTORS} | {"gfl", "retinanet", "faster_rcnn"} == set(MODELS)


@pytest.mark.parametrize("name", SEGMENTORS)
def test_segmentor(name: str, tmp_path: Path) -> None:
    graph = graph_of(segmentor(name).eval(), "segmentation", "logits", GraphInput(SIZE, "dynamic"), tmp_path)
    assert_parity(graph, (1, 3))
    assert graph.onnx().exporter == ("tracing" if name in TRACED else "dynamo")


@pytest.mark.parametrize("name", ["gfl", "retinanet"])
def test_detector(name: str, tmp_path: Path) -> None:
    graph = graph_of(tiny_detector(name).eval(), "detection", "boxes", GraphInput(SIZE, "dynamic"), tmp_path)
    assert [output.name for output in graph.outputs] == ["boxes", "box_scores"]
    assert_parity(graph, (1, 3))


def test_two_stage_detector(tmp_path: Path) -> None:
    """Proposals are chosen in the graph; their order means nothing where scores are nearly equal."""
    graph = graph_of(tiny_detector("faster_rcnn").eval(), "detection", "boxes", GraphInput(SIZE), tmp_path)
    for name in ("onnx", "openvino"):
        folder = tmp_path / name
        folder.mkdir()
        ENGINES[name].convert(graph, folder, "fp32")
        image = graph.input.random(1, seed=4)
        with torch.no_grad():
            wanted = [output.numpy() for output in graph.module(image)]
        assert wanted[0].shape[1] > 100
        assert compare_sets(session(name, folder)(image.numpy()), wanted).largest <= EXACT


def test_batch_of_three_alone(tmp_path: Path) -> None:
    graph = graph_of(segmentor("fpn").eval(), "segmentation", "scores", GraphInput((33, 47), 3), tmp_path)
    assert graph.outputs[0].shape == (1, 3, 33, 47)
    assert_parity(graph, (3,), ("onnx",))


def test_labels_of_a_decoded_picture(tmp_path: Path) -> None:
    """A uint8 picture goes in and a uint8 map of its size comes out, the same one that torch makes."""
    model = vary(segmentor("pspnet"))
    graph = graph_of(model, "segmentation", "labels", GraphInput((49, 67), 1, "uint8"), tmp_path)
    graph_folder = tmp_path / "onnx"
    graph_folder.mkdir()
    ENGINES["onnx"].convert(graph, graph_folder, "fp32")
    pixels = graph.input.random(1, seed=5)
    (found,) = session("onnx", graph_folder)(pixels.numpy())
    with torch.no_grad():
        logits = model(pixels.permute(0, 3, 1, 2) / 255)
    wanted = nn.functional.interpolate(logits, (49, 67), mode="bilinear").argmax(1)
    assert found.dtype == np.uint8
    assert found.shape == (1, 49, 67)
    assert len(np.unique(found)) > 1
    assert (found == wanted.numpy()).mean() > 0.999


def test_an_exporter_that_fails_is_followed_by_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export = torch.onnx.export

    def refuse(*args: Any, **options: Any) -> Any:
        if options["dynamo"]:
            raise RuntimeError("no such operator")
        return export(*args, **options)

    monkeypatch.setattr(torch.onnx, "export", refuse)
    graph = graph_of(segmentor("fpn").eval(), "segmentation", "logits", GraphInput((32, 32)), tmp_path)
    assert_parity(graph, (1,), ("onnx",))
    assert graph.onnx().exporter == "tracing"
    assert graph.reason == "RuntimeError: no such operator"


def test_sessions_need_no_densekd() -> None:
    """They run in environments of other libraries: nothing of ours, and no torch but in its own."""
    for engine in ENGINES.values():
        text = engine.session.read_text()
        assert "densekd" not in text.split('"""')[2]
        if engine.name not in ENVIRONMENTS:
            assert engine.python == Path(sys.executable)
