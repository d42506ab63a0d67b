"""Student and teacher architectures: ``MODELS`` maps a name to the function that builds it.

Every model takes float RGB in [0, 1], ``[B, 3, H, W]``, normalizes inside, and returns logits
``[B, C, h, w]`` at its head's stride; one without head, which can only teach features, returns the
list of its maps. Detectors return raw maps, and have ``losses(output, target)`` and
``detect(output, sizes)``. What else a model offers is in :mod:`densekd.models.contract`; trained
models of any origin come through :func:`densekd.models.open.open_model`.
"""

from collections.abc import Callable
from functools import partial

from torch import nn

from densekd.doors import MODULE
from densekd.errors import RecipeError
from densekd.models.detection import faster_rcnn, gfl, retinanet
from densekd.models.dilated import deeplabv3, deeplabv3plus, fcn, pspnet
from densekd.models.fpn import fpn
from densekd.models.mobile import deeplabv3_mobile, psp_mobile, upernet_lite
from densekd.models.segformer import segformer
from densekd.models.sources import SOURCES
from densekd.models.upernet import upernet
from densekd.registry import resolve

MODELS: dict[str, Callable[..., nn.Module]] = {
    "deeplabv3": deeplabv3,
    "deeplabv3_mobile": deeplabv3_mobile,
    "deeplabv3plus": deeplabv3plus,
    "faster_rcnn": faster_rcnn,
    "fcn": fcn,
    "fpn": fpn,
    "gfl": gfl,
    "psp_mobile": psp_mobile,
    "pspnet": pspnet,
    "retinanet": retinanet,
    "segformer": segformer,
    "upernet": upernet,
    "upernet_lite": upernet_lite,
}


def find_model(name: str, where: str = "") -> Callable[..., nn.Module]:
    """Find the builder that a recipe's ``model:`` names.

    Args:
        name: a key of ``MODELS``; ``source:name`` with a key of ``SOURCES``; or
            ``package.module:Name``.
        where: key of the recipe that has the name, for the message.

    Raises:
        RecipeError: none of these.
    """
    # A library's builder takes the rest of the name.
    source, _, rest = name.partition(":")
    if rest and source in SOURCES:
        return partial(SOURCES[source], rest)
    try:
        return resolve(name, MODELS, "model", where, MODULE)
    except RecipeError as error:
        others = ", ".join(f"{source}:NAME" for source in SOURCES)
        raise RecipeError(f"{error} Other libraries' models: {others}.") from error
