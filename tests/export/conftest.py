"""A network leaves torch once: many tests export the same one, which takes seconds, to see what happens afterwards."""

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from densekd.export import graph
from densekd.export.exporters import Exported
from densekd.export.spec import GraphInput


@pytest.fixture(scope="session", autouse=True)
def _exported_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Copy the ONNX file of a module that was exported before with the same input, names and exporter of torch.

    The same module has the same parts and numbers, and computes the same of the same example.
    """
    export_onnx, kept = graph.export_onnx, tmp_path_factory.mktemp("exported")
    known: dict[str, Exported] = {}

    def once(module: nn.Module, example: Tensor, taken: GraphInput, names: list[str], folder: Path) -> Exported:
        digest = hashlib.blake2b(repr((module, taken, names, id(torch.onnx.export))).encode())
        with torch.no_grad():
            for tensor in (*module.state_dict().values(), *module(example)):
                digest.update(repr((tensor.shape, tensor.dtype)).encode() + tensor.contiguous().numpy().tobytes())
        key = digest.hexdigest()
        if key not in known:
            made = export_onnx(module, example, taken, names, folder)
            path = shutil.copy(made.path, kept / f"{key}.onnx")
            known[key] = Exported(path, made.exporter, made.reason)
            return made
        return Exported(shutil.copy(known[key].path, folder / "graph.onnx"), known[key].exporter, known[key].reason)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graph, "export_onnx", once)
        yield
