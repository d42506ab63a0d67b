"""Width of a published head: a file of another release than the one that is asked for is refused."""

from collections.abc import Mapping
from typing import Any

from densekd.errors import UserError
from densekd.models.checkpoints.layout import Recognized

# Releases that publish different networks under one file name: format, model, backbone -> width -> whose.
_RELEASES: dict[tuple[str, str, str], dict[Any, str]] = {
    ("cirkd", "deeplabv3", "resnet101"): {256: "CIRKD v1's and HWD's", 512: "CIRKD v2's"},
    ("cirkd", "deeplabv3", "resnet50"): {256: "CIRKD v1's and HWD's", 512: "CIRKD v2's"},
    ("cirkd", "deeplabv3", "resnet18"): {128: "CIRKD v1's and HWD's", 512: "CIRKD v2's"},
}


def require_width(found: Recognized, asked: Mapping[str, Any], name: str) -> None:
    """Refuse a file whose head has another width than the option ``channels`` says.

    Args:
        found: how the file was recognized, its width among the options.
        asked: options of the caller; without ``channels`` every width will do.
        name: of the file, for the message.

    Raises:
        UserError: names both widths and, where it is known, which release has which.
    """
    width = _plain(found.options.get("channels"))
    wanted = _plain(asked.get("channels"))
    if wanted is None or width is None or wanted == width:
        return
    releases = _RELEASES.get((found.format, found.model, str(found.options.get("backbone"))), {})
    known = [f"{whose} is {channels} wide" for channels, whose in releases.items()]
    published = f" Files of this name: {', '.join(known)}." if known else ""
    raise UserError(
        f"{name}: the {found.model} head in it is {width} channels wide, and the options ask for {wanted}.{published} "
        f"Name the file that is meant, or write 'options: {{channels: {width}}}'."
    )


def _plain(channels: Any) -> Any:
    """Return widths in one form: a number, or a list where the parts of a head differ."""
    if not isinstance(channels, list | tuple):
        return channels
    if len(set(channels)) == 1:
        return channels[0]
    return list(channels)
