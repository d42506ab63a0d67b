"""Docstrings of losses say what the catalogue and the editors' schema need; a failure says what to write."""

import inspect
import re
from pathlib import Path

import pytest
from torch import Tensor, nn

from densekd.losses import LOSSES

# A paper, or the code that a method without one was taken from.
SOURCE = re.compile(
    r"arXiv \d{4}\.\d{5}|(CVPR|ICCV|ECCV|ICLR|ICML|ICME|NeurIPS|TIP) 20\d\d|github\.com/\w+|MMRazor's ``\w+``"
)
FORMULA = re.compile(r"(sum|mean|KL|MSE|CE)[ _(].*[(|^]| [-+*/] ", re.DOTALL)
LABEL = re.compile(r"(?<![\w*])(Tap|Weight|Cost):\s+(\S+)")
ARGUMENT = re.compile(r"^ {4}(\w+(?:, \w+)*): \S", re.MULTILINE)


def flat(text: str) -> str:
    return " ".join(text.split())


def missing_from(loss: type[nn.Module]) -> list[str]:
    """Return what to write into the docstrings of a loss and of its module."""
    file = Path(inspect.getfile(loss)).name
    module, text = (inspect.cleandoc(inspect.getdoc(x) or "") for x in (inspect.getmodule(loss), loss))
    missing = []
    if not SOURCE.search(flat(module.partition("\n\n")[0])):
        missing.append(
            f"the first sentence of {file}: the method and its source, as (Shu et al., ICCV 2021, arXiv 2011.13256, "
            "eq. 4) or github.com/OWNER/REPOSITORY"
        )
    if not any(FORMULA.search(formula) for formula in re.findall(r"``([^`]+)``", text.partition("Tap:")[0])):
        missing.append("the formula in double backticks, before 'Tap:', as ``1 / B * sum_b (student_b - teacher_b)^2``")
    labels = LABEL.findall(text)
    if [label for label, _ in labels] != ["Tap", "Weight", "Cost"]:
        missing.append(
            "one paragraph 'Tap: ``logits``. Weight: 3 with T = 4 (the authors). Cost: two softmax maps.': where the "
            "maps come from, what weight was shipped, and what it costs; once each and in this order"
        )
    elif not re.search(r"\d", text.partition("Weight:")[2].partition("Cost:")[0]):
        missing.append("the number that the authors ship, after 'Weight:'")
    if "\nShape:\n" not in text:
        missing.append("a section 'Shape:': shapes of student and teacher, what the target is, the range of the result")
    documented = {name for names in ARGUMENT.findall(text) for name in names.split(", ")}
    given = inspect.signature(loss).parameters.values()
    # A loss without constructor shows the open signature of nn.Module.
    undocumented = [p.name for p in given if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    undocumented = [name for name in undocumented if name not in documented]
    if undocumented:
        missing.append(f"a section 'Args:' with an entry for each option; missing: {', '.join(undocumented)}")
    return missing


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_says_what_it_is(name: str) -> None:
    loss = LOSSES[name]
    missing = missing_from(loss)
    listed = "".join(f"\n- {one}" for one in missing)
    assert not missing, f"'{name}': write in the docstring of {loss.__name__} ({inspect.getfile(loss)}):{listed}"


class Bare(nn.Module):
    """Compare two maps."""

    def __init__(self, temperature: float, weight: float = 1.0) -> None:
        super().__init__()

    def forward(self, student: Tensor, teacher: Tensor, target: Tensor | None = None) -> Tensor:
        return student


class Weightless(nn.Module):
    """Compare two maps.

    ``mean (s - t)^2``. Tap: ``logits``. Weight: any. Cost: little.

    Args:
        temperature: T.

    Shape:
        any.
    """

    def __init__(self, temperature: float) -> None:
        super().__init__()


def test_what_is_missing_is_listed() -> None:
    missing = missing_from(Bare)
    assert [line.partition(" ")[0] for line in missing] == ["the", "the", "one", "a", "a"]
    assert "test_docstrings.py: the method and its source" in missing[0]
    assert "'Tap: ``logits``. Weight: 3 with T = 4" in missing[2]
    assert missing[-1].endswith("missing: temperature, weight")
    assert missing_from(Weightless)[1:] == ["the number that the authors ship, after 'Weight:'"]
