"""Export many architectures to every engine that is there: ``python benchmarks/export.py --out results``.

Models have random weights and a small picture, so verdicts speak of graphs and numbers, not of accuracy: without
data the best one is "numbers compared". It writes ``export.json`` and ``export.md``, the table of docs/export.md.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from densekd.atomic import write_text
from densekd.errors import UserError
from densekd.export.compare import compare_arrays, compare_sets
from densekd.export.engines import ENGINES
from densekd.export.engines.contract import ConversionRefused, Engine
from densekd.export.graph import Graph
from densekd.export.modules import build_module, describe_outputs
from densekd.export.process import EngineFailed, EngineProcess
from densekd.export.spec import GraphInput
from densekd.export.verify import EXACT
from densekd.models import MODELS
from densekd.models.open import open_model

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "helpers"))

from tiny_detectors import tiny_detector

CLASSES = 3
SMALL: dict[str, Any] = {"backbone": "resnet18_025", "channels": 16}


def _segmentor(name: str, **options: Any) -> Callable[[], nn.Module]:
    return lambda: MODELS[name](num_classes=CLASSES, **options)


def _opened(name: str) -> Callable[[], nn.Module]:
    return lambda: open_model(Path(name)).model


def _detector(name: str) -> Callable[[], nn.Module]:
    return lambda: tiny_detector(name)


# Title, task, and what builds it.
MODELS_TO_EXPORT: dict[str, tuple[str, Callable[[], nn.Module]]] = {
    "FPN": ("segmentation", _segmentor("fpn", **SMALL)),
    "PSPNet": ("segmentation", _segmentor("pspnet", auxiliary_channels=0, **SMALL)),
    "SegFormer-B0": ("segmentation", _segmentor("segformer", backbone="mit_b0", channels=16)),
    "GFL": ("detection", _detector("gfl")),
    "DeepLabV3": ("segmentation", _segmentor("deeplabv3", auxiliary_channels=0, **SMALL)),
    "DeepLabV3+": ("segmentation", _segmentor("deeplabv3plus", backbone="resnet18_025", auxiliary_channels=0)),
    "UPerNet Swin-T": ("segmentation", _segmentor("upernet", backbone="swin_tiny", channels=8, auxiliary_channels=0)),
    "RetinaNet": ("detection", _detector("retinanet")),
    "Faster R-CNN": ("detection", _detector("faster_rcnn")),
}


def main() -> None:
    """Export everything, and write what became of it after each model."""
    parser = argparse.ArgumentParser(description="Export many architectures to every engine that is there.")
    parser.add_argument("--out", type=Path, default=Path("export-results"))
    parser.add_argument("--engines", default=",".join(ENGINES))
    parser.add_argument("--models", default=",".join(MODELS_TO_EXPORT))
    parser.add_argument(
        "--opened", action="append", default=[], help="TASK=MODEL: an hf:, smp: or torchvision: model or a folder"
    )
    parser.add_argument("--size", default="64x96")
    options = parser.parse_args()
    chosen = {name: MODELS_TO_EXPORT[name] for name in options.models.split(",") if name}
    for text in options.opened:
        task, name = text.split("=", 1)
        chosen[name] = (task, _opened(name))
    height, width = (int(side) for side in options.size.split("x"))
    engines = [ENGINES[name] for name in options.engines.split(",")]
    rows: dict[str, dict[str, Any]] = {}
    options.out.mkdir(parents=True, exist_ok=True)
    for title, (task, build) in chosen.items():
        rows[title] = export_one(task, build, engines, (height, width))
        write_text(options.out / "export.json", json.dumps(rows, indent=1) + "\n")
        write_text(options.out / "export.md", table(rows, engines))


def export_one(
    task: str, build: Callable[[], nn.Module], engines: list[Engine], size: tuple[int, int]
) -> dict[str, Any]:
    """Return a verdict for each engine: status, difference or reason."""
    torch.manual_seed(0)
    taken = GraphInput(size)
    kind = "boxes" if task == "detection" else "logits"
    with tempfile.TemporaryDirectory() as scratch:
        try:
            module = build_module(build().eval(), task, kind, taken)
            graph = Graph(module, taken, describe_outputs(module, kind, taken), Path(scratch))
        except UserError as error:
            return {engine.name: {"status": "refused", "reason": str(error)} for engine in engines}
        return {engine.name: _cell(engine, graph) for engine in engines}


def _cell(engine: Engine, graph: Graph) -> dict[str, Any]:
    """Convert, load and compare one artefact."""
    missing = engine.missing()
    if missing is not None:
        return {"status": "not tried", "reason": f"needs {missing}"}
    folder = graph.scratch / engine.name
    folder.mkdir()
    try:
        engine.convert(graph, folder, "fp32")
    except ConversionRefused as error:
        return {"status": "refused", "reason": str(error)}
    why_not = engine.not_runnable()
    if why_not is not None:
        return {"status": "converted, not verified", "reason": why_not}
    try:
        with EngineProcess(engine, folder) as process:
            difference = max(_difference(process, graph, seed) for seed in (1, 2))
    except EngineFailed as error:
        return {"status": "refused", "reason": str(error)}
    if not difference <= EXACT:
        reason = f"outputs differ from torch's by {difference:.1e} of the largest"
        return {"status": "refused", "reason": reason, "difference": difference}
    return {"status": "numbers compared", "difference": difference, "version": engine.version()}


@torch.no_grad()
def _difference(process: EngineProcess, graph: Graph, seed: int) -> float:
    image = graph.input.random(1, seed)
    wanted: list[np.ndarray] = [output.numpy() for output in graph.module(image)]
    found = process.run(image.numpy())
    is_set = bool(getattr(graph.module.finish, "is_set", False))
    compare = compare_sets if is_set else compare_arrays
    return float(compare(found, wanted).largest)


def table(rows: dict[str, dict[str, Any]], engines: list[Engine]) -> str:
    """Return the table in Markdown: a row for each model, a column for each engine."""
    lines = ["| model | " + " | ".join(engine.title for engine in engines) + " |"]
    lines.append("|---" * (len(engines) + 1) + "|")
    for title, row in rows.items():
        cells = [_text(row[engine.name]) for engine in engines]
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _text(cell: dict[str, Any]) -> str:
    if cell["status"] == "numbers compared":
        return f"{cell['difference']:.0e}"
    return f"{cell['status']}: {cell['reason']}".replace("|", "/").replace("\n", " ")


if __name__ == "__main__":
    main()
