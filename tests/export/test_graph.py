"""Graphs on their way out: each kind of file is written once, in a folder of its own."""

from pathlib import Path

import pytest
import torch

from densekd.export.graph import Graph
from densekd.export.modules import build_module
from densekd.export.spec import GraphInput, GraphOutput
from densekd.models.dilated import pspnet

# torch's own way to read the tensors of a program.
pytestmark = pytest.mark.filterwarnings("ignore:The given buffer is not writable:UserWarning")


def operations(path: Path) -> set[str]:
    program = torch.export.load(path)
    return {str(node.target) for node in program.graph.nodes if node.op == "call_function"}


def test_a_plain_program_has_no_kernels_and_the_same_numbers(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = pspnet(3, "resnet18_025", channels=16, auxiliary_channels=0).eval()
    taken = GraphInput((64, 96))
    module = build_module(model, "segmentation", None, taken)
    graph = Graph(module, taken, (GraphOutput("logits", (1, 3, 8, 12), "float32", "logits"),), tmp_path)
    usual, plain = graph.program().path, graph.plain_program().path
    # The joined convolution distributes pooled cells by an identity matrix that is upsampled.
    assert "aten.eye.default" in operations(usual)
    assert "aten.eye.default" not in operations(plain)
    (expected,) = torch.export.load(usual).module()(graph.example)
    (found,) = torch.export.load(plain).module()(graph.example)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))
    assert graph.plain_program().path == plain
