"""Comparison of the names and shapes of a file with those of a model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch

from torch import Tensor, nn

# Of batch norm; it counts batches.
COUNTER = "num_batches_tracked"
_SHOWN = 8


@dataclass(frozen=True)
class Match:
    """Comparison of the keys of a file with those of a model.

    Args:
        matched: keys with the same name and shape.
        missing: the model has them, the file does not.
        unexpected: the file has them, the model does not.
        mismatched: same name, other shape: (key, shape in the file, shape in the model).
        notes: what people should know of the file before they trust it, a sentence each.
    """

    matched: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    mismatched: tuple[tuple[str, list[int], list[int]], ...]
    notes: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """True where every weight of the model comes from the file and none is left over."""
        return not (self.missing or self.unexpected or self.mismatched)

    def describe(self) -> str:
        """Return the report: counts and the first keys of each kind."""
        lines = [f"  matched {len(self.matched)}"]
        if self.missing:
            lines.append(f"  missing {len(self.missing)}: {first_of(self.missing)}")
        if self.unexpected:
            lines.append(f"  unexpected {len(self.unexpected)}: {first_of(self.unexpected)}")
        if self.mismatched:
            shapes = [f"{key} (file {file}, model {model})" for key, file, model in self.mismatched]
            lines.append(f"  other shape {len(shapes)}: {first_of(shapes)}")
        return "\n".join(lines)


def match(model: nn.Module, state: Mapping[str, Tensor], allowed: Sequence[str] = ()) -> Match:
    """Compare names and shapes.

    Args:
        model: what is to be filled.
        state: under the model's names.
        allowed: patterns (``auxiliary.*``) of keys that may be missing or left over.
    """
    own = model.state_dict()
    matched, missing, mismatched = [], [], []
    for key, value in own.items():
        if key in state and state[key].shape == value.shape:
            matched.append(key)
        elif key in state:
            mismatched.append((key, list(state[key].shape), list(value.shape)))
        # Files older than batch norm's counter lack it, and nothing that is evaluated reads it.
        elif not (key.endswith(COUNTER) or _fits_one(key, allowed)):
            missing.append(key)
    unexpected = [key for key in state if key not in own and not _fits_one(key, allowed)]
    return Match(tuple(matched), tuple(missing), tuple(unexpected), tuple(mismatched))


def first_of(keys: Sequence[str]) -> str:
    """List the first of many names, and how many more there are."""
    more = len(keys) - _SHOWN
    shown = ", ".join(keys[:_SHOWN])
    return f"{shown}, and {more} more" if more > 0 else shown


def _fits_one(key: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch(key, pattern) for pattern in patterns)
