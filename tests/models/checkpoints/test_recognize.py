"""Files that lack any one entry: recognized without it or not at all, and never an error of Python's."""

import pytest
import torch
from golden_models import FOLDER, read_json

from densekd.models.checkpoints.recognize import FORMATS, recognize

NAMES = sorted(path.name for path in FOLDER.iterdir() if path.is_dir())


def entries(name: str) -> dict[str, torch.Tensor]:
    """Return the published entries of one model, shapes alone."""
    return {key: torch.empty(shape, device="meta") for key, (shape, _) in read_json(name, "keys.json").items()}


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("segdistill_sd")])
def test_an_entry_is_missing(name: str) -> None:
    state = entries(name)
    whole = recognize(state)
    assert whole is not None
    assert whole.format in FORMATS
    heads = [key for key in state if not key.startswith(("backbone", "pretrained", "layer"))]
    unrecognized = 0
    for key in heads:
        found = recognize({other: value for other, value in state.items() if other != key})
        unrecognized += found is None
        assert found is None or found.format == whole.format
    # The classifier at least says how many classes there are.
    assert 0 < unrecognized < len(heads)
