"""XML of people's files: no entities of the file's own, and bounded size."""

from pathlib import Path
from xml.etree import ElementTree

from densekd.parsers.files import read_bytes

# The annotation of one image.
_MOST_MEGABYTES = 64
_MOST_ELEMENTS = 500_000


def load_xml(path: Path) -> ElementTree.Element:
    """Read an XML file.

    Raises:
        OSError: it cannot be read, or is no file.
        ValueError: no XML, an encoding that is not known, entities of its own, or too many elements.
    """
    content = read_bytes(path, _MOST_MEGABYTES)
    # Of UTF-16 every second byte is zero.
    plain = content.replace(b"\0", b"")
    # An entity may stand for any number of others, or for another file.
    if b"<!ENTITY" in plain:
        raise ValueError("it defines entities (<!ENTITY), which are not read; write their text instead")
    if plain.count(b"<") > 2 * _MOST_ELEMENTS:
        raise ValueError(f"it has more than {_MOST_ELEMENTS} elements")
    try:
        return ElementTree.fromstring(content)
    except (ElementTree.ParseError, LookupError) as error:
        raise ValueError(str(error)) from error
