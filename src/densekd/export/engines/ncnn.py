"""ncnn: parameters and weights that pnnx writes from TorchScript."""

import shutil
from pathlib import Path
from typing import ClassVar

from densekd.export.engines.contract import SESSIONS, Conversion, ConversionRefused, leaving_torch
from densekd.export.engines.outside import OutsideEngine, run_converter
from densekd.export.graph import Graph
from densekd.export.spec import Precision

# Starts the program in its folder, so that a crash stays a crash of this process.
_STARTER = (
    "import importlib.util as u, os, pathlib as p, sys; "
    "program = p.Path(u.find_spec('pnnx').origin).parent / ('pnnx.exe' if os.name == 'nt' else 'pnnx'); "
    "os.execv(program, [str(program), *sys.argv[1:]])"
)


class Ncnn(OutsideEngine):
    """ncnn."""

    name: ClassVar[str] = "ncnn"
    title: ClassVar[str] = "ncnn"
    package: ClassVar[str] = "ncnn"
    session: ClassVar[Path] = SESSIONS / "run_ncnn.py"
    infer_lines: ClassVar[str] = """\
import ncnn

net = ncnn.Net()
# float32 arithmetic, as it was verified.
net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
net.load_param(str(HERE / "model.ncnn.param"))
net.load_model(str(HERE / "model.ncnn.bin"))


def run(array):
    pixels = np.ascontiguousarray(array[0])
    image = ncnn.Mat(pixels)
    extractor = net.create_extractor()
    extractor.input("in0", image)
    return [np.array(extractor.extract(name)[1])[None] for name in net.output_names()]
"""

    def convert(self, graph: Graph, folder: Path, precision: Precision) -> Conversion:
        """Write ``model.ncnn.param`` and ``model.ncnn.bin``.

        Raises:
            ConversionRefused: more than one picture, integers, or a graph that torch or pnnx cannot convert.
        """
        if graph.input.batch != 1:
            raise ConversionRefused("ncnn takes one picture at a time: --batch 1.")
        if graph.input.kind != "float":
            raise ConversionRefused("ncnn computes in floats: --input float.")
        with leaving_torch():
            traced = graph.torchscript()
        work = folder / "pnnx"
        work.mkdir()
        shutil.copyfile(traced.path, work / "model.pt")
        shape = ",".join(str(side) for side in graph.input.shape(1))
        command = [str(self.python), "-c", _STARTER, "model.pt", f"inputshape=[{shape}]", "fp16=0"]
        parameters = work / "model.ncnn.param"
        try:
            run_converter(self.title, command, work, parameters)
            _refuse_unknown_layers(parameters)
            for name in ("model.ncnn.param", "model.ncnn.bin"):
                (work / name).rename(folder / name)
        finally:
            shutil.rmtree(work, ignore_errors=True)
        return Conversion(parameters.name, traced.exporter)


def _refuse_unknown_layers(parameters: Path) -> None:
    """Refuse a graph with operators of torch that pnnx could not translate."""
    left = set()
    for line in parameters.read_text(encoding="utf-8").splitlines():
        kind = line.split(" ")[0]
        if "." in kind or "::" in kind:
            left.add(kind)
    if left:
        raise ConversionRefused(f"pnnx leaves operators that ncnn does not have: {', '.join(sorted(left))}.")
