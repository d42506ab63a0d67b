"""What ships: size of each model on disk, and the lines that load and export the student."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

# Packages of a run folder, by the model that they hold.
_PACKAGES = {"student": "student", "baseline": "baseline/student"}
_WEIGHTS = "model.safetensors"
# Of a weight as it is trained, for models without a package.
_BYTES = 4


@dataclass(frozen=True)
class Shipping:
    """The student as it is delivered.

    Args:
        bytes: of the files of a package, by role.
        python: lines that load the student and predict a picture.
        export: command that writes artefacts for inference engines.
        predict: command that predicts a folder of pictures.
    """

    bytes: Mapping[str, int]
    python: str
    export: str
    predict: str


def read_shipping(folder: Path) -> Shipping | None:
    """Read what a run delivers; None where it has no student package.

    Args:
        folder: the run folder, as its commands shall name it.
    """
    sizes: dict[str, int] = {}
    for role, name in _PACKAGES.items():
        package = folder / name
        if (package / _WEIGHTS).is_file():
            sizes[role] = sum(path.stat().st_size for path in package.iterdir() if path.is_file())
    if "student" not in sizes:
        return None
    # A string of JSON is one of Python; a shell has quotes of its own.
    quoted = json.dumps(folder.as_posix(), ensure_ascii=False)
    word = shlex.quote(folder.as_posix())
    return Shipping(
        bytes=sizes,
        python=f'import densekd\nmodel = densekd.load({quoted})\nfound = model.predict("picture.jpg")',
        export=f"densekd export {word} --to onnx,openvino --precision fp32,int8",
        predict=f"densekd predict {word} pictures/",
    )


def megabytes(shipping: Shipping | None, role: str, parameters: float | None) -> float | None:
    """Return the size of a model in MB: of its package, or 4 bytes a parameter; None where neither is known."""
    if shipping is not None and role in shipping.bytes:
        return shipping.bytes[role] / 1e6
    if parameters is None:
        return None
    return _BYTES * parameters / 1e6
