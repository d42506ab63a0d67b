"""Checksums inside the files that are written and read back: each file carries its own.

``archives``: of torch; ``documents``: JSON; ``texts``: YAML; ``tensors``: safetensors, which alone imports torch.
"""

from densekd.seal.archives import damage_of, seal
from densekd.seal.documents import read_document, require_unchanged, sealed, write_document
from densekd.seal.texts import sealed_text, was_changed

__all__ = [
    "damage_of",
    "read_document",
    "require_unchanged",
    "seal",
    "sealed",
    "sealed_text",
    "was_changed",
    "write_document",
]
