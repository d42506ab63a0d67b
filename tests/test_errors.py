import pickle
import re
from pathlib import Path
from typing import get_args

import pytest
from torch.utils.data import DataLoader, Dataset

import densekd
from densekd.errors import RecipeError, Trouble, UserError, suggest
from densekd.explain import explain


@pytest.mark.parametrize(
    ("wrong", "known", "text"),
    [
        ("tempreature", ["tau", "temperature"], "Did you mean 'temperature'? Known: tau, temperature."),
        ("zzz", ["tau", "temperature"], "Known: tau, temperature."),
        ("b", {"c": 1, "a": 2}, "Known: a, c."),
        ("x", [], "Known: none."),
    ],
)
def test_a_suggestion_names_the_nearest_and_lists_all_in_order(wrong: str, known: list[str], text: str) -> None:
    assert suggest(wrong, known) == text


def test_exit_codes_tell_a_failed_run_from_a_wrong_recipe() -> None:
    assert UserError.code == 1
    assert RecipeError.code == 2
    with pytest.raises(UserError, match="both are caught as one"):
        raise RecipeError("both are caught as one")


class Damaged(Dataset[int]):
    """Samples whose reading fails, one error after another."""

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> int:
        try:
            raise OSError("truncated")
        except OSError as error:
            raise RecipeError("a.jpg: cannot be read: truncated.\nReplace it: now.") from error


@pytest.mark.filterwarnings("ignore")
def test_a_loading_process_hands_on_the_message_alone() -> None:
    with pytest.raises(RecipeError) as found:
        list(DataLoader(Damaged(), num_workers=1))
    assert str(found.value) == "a.jpg: cannot be read: truncated.\nReplace it: now."
    assert str(pickle.loads(pickle.dumps(found.value))) == str(found.value)


def test_other_messages_stay_as_they_are() -> None:
    text = "Caught in the middle.\nOriginal Traceback of nobody: x"
    assert str(UserError(text)) == text


def test_every_heading_that_a_message_names_is_there() -> None:
    page = (Path(__file__).parents[1] / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    headings = [heading.lower().replace(" ", "-") for heading in re.findall(r"^## (.+)$", page, re.MULTILINE)]
    assert headings == list(get_args(Trouble))
    # And every heading is named by some message, each of which names one that is there.
    files = Path(densekd.__file__).parent.rglob("*.py")
    source = "".join(path.read_text(encoding="utf-8") for path in files if path.name != "errors.py")
    named = re.findall(r"""\bsee\(["']([\w-]+)["']\)|docs/troubleshooting\.md#([\w-]+)""", source)
    assert {one or other for one, other in named} == set(headings)


def test_a_message_says_where_to_read_on() -> None:
    said = explain(RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"))
    assert said is not None
    assert "data.batch_size" in said
    assert "augment.crop (boxes: data.short_side and data.long_side)" in said
    assert "See docs/troubleshooting.md#out-of-memory. (CUDA out of memory." in said
