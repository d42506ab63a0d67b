"""The whole way: a run becomes verified artefacts, or a refusal that leaves nothing behind."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from exported_runs import CLASSES, BrokenEngine, make_run
from onnx import numpy_helper
from PIL import Image
from sessions_that_fail import CRASHES, write_session
from typer.testing import CliRunner

import densekd
from densekd.cli.app import app
from densekd.errors import RecipeError, UserError
from densekd.export import engines, verify
from densekd.export.engines.onnx import OnnxRuntime
from densekd.export.export import default_folder, export
from densekd.export.spec import Precision
from densekd.export.verdict import Verdict

# A module of that name may not be imported: infer.py needs the engine, numpy and Pillow alone.
WITHOUT_TORCH = """
import runpy, sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "densekd", "onnx"):
            raise ImportError(name)
sys.meta_path.insert(0, Refuse())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Verdict]]:
    """A run, exported to both engines."""
    run = make_run(tmp_path_factory.mktemp("exported"))
    return run, export(run, "onnx,openvino", precision="fp32,fp16")


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Put another engine in the place of ONNX Runtime."""

    def put(other: Any) -> None:
        monkeypatch.setitem(engines.ENGINES, "onnx", other)

    return put


def infer(folder: Path, picture: Path, out: Path) -> None:
    command = [sys.executable, "-c", WITHOUT_TORCH, str(folder / "infer.py"), str(picture), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_verified_and_scored(exported: tuple[Path, list[Verdict]]) -> None:
    run, verdicts = exported
    names = [(verdict.engine, verdict.precision, verdict.status) for verdict in verdicts]
    assert names == [(e, p, "verified") for e in ("onnx", "openvino") for p in ("fp32", "fp16")]
    wanted = densekd.evaluate(run)
    for verdict in verdicts:
        # All pictures have one size: what the engine scores is what the evaluation scores.
        assert verdict.torch_score == pytest.approx(wanted["miou"], abs=1e-3)
        assert verdict.engine_score == pytest.approx(wanted["miou"], abs=0.05 if verdict.precision == "fp32" else 0.5)
        assert verdict.difference is not None
        assert verdict.difference < (1e-5 if verdict.precision == "fp32" else 1e-2)
        assert verdict.images == 2
        assert list(verdict.drops) == ["class0", "class1", "class2"]
    # Half of the weights' bytes.
    assert verdicts[1].bytes < 0.7 * verdicts[0].bytes
    assert sorted(path.name for path in (run / "export").iterdir()) == [
        "onnx-fp16",
        "onnx-fp32",
        "openvino-fp16",
        "openvino-fp32",
    ]


def test_description(exported: tuple[Path, list[Verdict]]) -> None:
    run, _ = exported
    about = json.loads((run / "export" / "onnx-fp32" / "model.json").read_text())
    assert about["input"]["shape"] == [1, 3, 49, 67]
    assert about["input"]["layout"] == "NCHW"
    assert about["input"]["range"] == [0, 1]
    assert about["outputs"][0]["shape"] == [1, 3, 7, 9]
    assert about["classes"] == list(CLASSES.names)
    assert about["palette"] == [list(color) for color in CLASSES.palette]
    assert about["licenses"] == {"data": "for research alone"}
    assert about["verdict"]["status"] == "verified"
    assert about["exporter"]["name"] == "dynamo"
    assert str(run) not in json.dumps(about)


@pytest.mark.parametrize("name", ["onnx-fp32", "openvino-fp32"])
def test_infer_labels_a_picture_as_densekd_does(exported: tuple[Path, list[Verdict]], name: str) -> None:
    run, _ = exported
    picture = run.parent / "data" / "images" / "val" / "000.png"
    infer(run / "export" / name, picture, run.parent / "colored.png")
    found = np.asarray(Image.open(run.parent / "colored.png"))
    labels = densekd.load(run).predict(picture)  # type: ignore[operator]
    wanted = np.array(CLASSES.palette, np.uint8)[np.asarray(labels)]
    assert len(np.unique(np.asarray(labels))) > 1
    assert (found == wanted).all(-1).mean() > 0.999


def test_infer_says_its_milliseconds(exported: tuple[Path, list[Verdict]]) -> None:
    run, _ = exported
    script = run / "export" / "onnx-fp32" / "infer.py"
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, str(script), "--time"], capture_output=True, text=True, check=False
    )
    assert re.fullmatch(r"\d+\.\d\d ms a run \(95 % within \d+\.\d\d ms\), 1 x \[49, 67\]\n", done.stdout), done.stderr


def test_infer_labels_of_a_decoded_picture(exported: tuple[Path, list[Verdict]]) -> None:
    run, _ = exported
    out = run.parent / "labels"
    (verdict,) = export(run, "onnx", output="labels", input="uint8", batch="dynamic", size="33x48", out=out)
    assert verdict.status == "verified"
    about = json.loads((out / "onnx-fp32" / "model.json").read_text())
    assert about["input"]["shape"] == ["dynamic", 33, 48, 3]
    assert about["outputs"][0]["shape"] == ["dynamic", 33, 48]
    picture = run.parent / "data" / "images" / "val" / "000.png"
    infer(out / "onnx-fp32", picture, run.parent / "colored2.png")
    found = np.asarray(Image.open(run.parent / "colored2.png"))
    assert found.shape == (49, 67, 3)
    assert {tuple(color) for color in found.reshape(-1, 3).tolist()} <= set(CLASSES.palette)


def test_a_crash_is_a_refusal(tmp_path: Path, engine: Any) -> None:
    engine(BrokenEngine(write_session(tmp_path, CRASHES)))
    run = make_run(tmp_path)
    (verdict,) = export(run, "onnx")
    assert verdict.status == "refused"
    assert "crashed (SIGSEGV)" in verdict.reason
    assert list((run / "export").iterdir()) == []


class Tampering(OnnxRuntime):
    """Change the weights of the graph that was exported."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def convert(self, graph: Any, folder: Path, precision: Any) -> Any:
        """Write the graph with other weights of the classifier."""
        conversion = super().convert(graph, folder, precision)
        model = onnx.load(folder / "model.onnx")
        weight = next(one for one in model.graph.initializer if one.name.endswith("classifier.weight"))
        array = numpy_helper.to_array(weight)
        # Another number for each class.
        more = (self.factor * np.arange(3)).reshape(3, 1, 1, 1)
        weight.CopyFrom(numpy_helper.from_array((array + more).astype(array.dtype), weight.name))
        onnx.save(model, folder / "model.onnx")
        return conversion


@pytest.mark.parametrize(
    ("engine_name", "precision", "saturates", "said"),
    [
        ("onnx", "int8", True, True),
        ("onnx", "int8", False, False),
        ("openvino", "int8", True, False),
        ("onnx", "fp32", True, False),
    ],
)
def test_a_processor_that_saturates_is_the_reason(
    engine_name: str, precision: Precision, saturates: bool, said: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "cpu_saturates", lambda: saturates)
    verdict = Verdict(engine_name, precision, "verified", difference=0.05)
    reason = verify._too_different(verdict, verify.Limits(exact=True), scored=True)
    assert "differ from torch's by 5.0e-02" in reason
    assert ("no VNNI" in reason) == said


def test_a_graph_that_was_tampered_with_is_refused(tmp_path: Path, engine: Any) -> None:
    engine(Tampering(0.01))
    run = make_run(tmp_path)
    (verdict,) = export(run, "onnx", keep=True)
    assert verdict.status == "refused"
    assert "differ from torch's" in verdict.reason
    assert [path.name for path in (run / "export").iterdir()] == ["onnx-fp32.refused"]
    about = json.loads((run / "export" / "onnx-fp32.refused" / "model.json").read_text())
    assert about["verdict"]["status"] == "refused"
    # What is verified later takes its place.
    engine(OnnxRuntime())
    assert export(run, "onnx")[0].status == "verified"
    assert [path.name for path in (run / "export").iterdir()] == ["onnx-fp32"]


def test_a_score_that_drops_is_refused_unless_allowed(tmp_path: Path, engine: Any) -> None:
    engine(Tampering(-100.0))
    run = make_run(tmp_path)
    recolored = run.parent / "data" / "labels" / "val"
    # Labels that are what the student says: it is right everywhere.
    predict = densekd.load(run).predict  # type: ignore[union-attr]
    for path in recolored.iterdir():
        labels = predict(run.parent / "data" / "images" / "val" / path.name)  # type: ignore[operator]
        Image.fromarray(np.asarray(labels, np.uint8)).save(path)
    (verdict,) = export(run, "onnx", precision="fp16")
    assert verdict.status == "refused"
    assert verdict.torch_score == pytest.approx(100)
    assert verdict.drop is not None
    assert verdict.drop > 5
    assert "--allow 0.5" in verdict.reason
    assert max(verdict.drops.values()) > 5
    assert export(run, "onnx", precision="fp16", allow=100)[0].status == "verified"


def test_without_data_numbers_are_compared(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    (verdict,) = export(run / "student", "torch", out=tmp_path / "out", data=None)
    assert verdict.status == "verified"
    # Far from its run a student knows no data.
    alone = tmp_path / "alone"
    (run / "student").rename(alone)
    (verdict,) = export(alone, "torch", size=(32, 32))
    assert verdict.status == "compared"
    assert "lies in no run folder" in verdict.reason
    assert (alone / "export" / "torch-fp32" / "model.pt2").is_file()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"to": "onx"}, "unknown engine 'onx'. Did you mean 'onnx'"),
        ({"to": ""}, "name at least one engine"),
        ({"precision": "fp61"}, "unknown 'fp61'"),
        ({"to": "torch", "precision": "fp16"}, "torch.export is not written in fp16"),
        ({"output": "boxes"}, "segmentation has no output 'boxes'"),
        ({"input": "int8"}, "unknown 'int8'"),
        ({"size": "0x10"}, "at least 1 pixel"),
        ({"size": "big"}, "height x width"),
        ({"batch": 0}, "at least 1"),
        ({"allow": -1}, "--allow"),
    ],
)
def test_wrong_options(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    run = make_run(tmp_path, images=1)
    with pytest.raises(RecipeError, match=message):
        export(run, **{"to": "onnx", **options})


def test_folder_that_cannot_be_written(tmp_path: Path) -> None:
    run = make_run(tmp_path, images=1)
    (tmp_path / "file").write_text("")
    with pytest.raises(RecipeError, match="cannot be written"):
        export(run, "onnx", out=tmp_path / "file" / "deeper")


def test_full_disk(tmp_path: Path, engine: Any) -> None:
    class FullDisk(OnnxRuntime):
        def convert(self, graph: Any, folder: Path, precision: Any) -> Any:
            (folder / "model.onnx").write_bytes(b"half")
            raise OSError(28, "No space left on device")

    engine(FullDisk())
    run = make_run(tmp_path, images=1)
    with pytest.raises(UserError, match="No space left on device"):
        export(run, "onnx")
    assert list((run / "export").iterdir()) == []


def test_missing_package(tmp_path: Path, engine: Any) -> None:
    class NotInstalled(OnnxRuntime):
        def missing(self) -> str | None:
            return "onnxruntime, which is not installed: pip install 'densekd[export]'"

    engine(NotInstalled())
    with pytest.raises(UserError, match=r"pip install 'densekd\[export\]'"):
        export(make_run(tmp_path, images=1), "onnx")


def test_default_folder(tmp_path: Path) -> None:
    run = make_run(tmp_path, images=1)
    assert default_folder(run) == default_folder(run / "student") == run / "export"


def test_command(exported: tuple[Path, list[Verdict]], tmp_path: Path) -> None:
    run, _ = exported
    command = ["export", str(run), "--to", "torch", "--size", "33x48", "--out", str(tmp_path), "--json"]
    done = CliRunner().invoke(app, [*command, str(tmp_path / "verdicts.json")])
    assert done.exit_code == 0, done.output
    assert "torch-fp32 verified" in done.output
    (verdict,) = json.loads((tmp_path / "verdicts.json").read_text())
    assert verdict["status"] == "verified"


def test_command_ends_with_one_where_something_is_refused(tmp_path: Path, engine: Any) -> None:
    engine(BrokenEngine(write_session(tmp_path, CRASHES)))
    run = make_run(tmp_path)
    done = CliRunner().invoke(app, ["export", str(run), "--to", "onnx"])
    assert done.exit_code == 1
    assert "onnx-fp32 refused" in done.output


def test_verdicts_in_files_say_no_path() -> None:
    verdict = Verdict("onnx", "fp32", "verified", folder="/somewhere")
    assert "folder" not in verdict.to_json()
    assert not replace(verdict, status="refused").passed
