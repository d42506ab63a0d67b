"""Mutants fit the package as it is; one that changes nothing survives, and one that breaks a test does not."""

from pathlib import Path

import pytest
from mutants import MUTANTS, ROOT, Mutant, try_mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: f"{mutant.file}: {mutant.new}")
def test_a_mutant_changes_one_place_and_names_tests(mutant: Mutant) -> None:
    count = (ROOT / mutant.path).read_text(encoding="utf-8").count(mutant.old)
    assert count == 1, f"'{mutant.old}' occurs {count} times in {mutant.path}: rewrite or drop this mutant"
    assert mutant.old != mutant.new
    files = [word for word in mutant.tests.split() if word.endswith(".py")]
    assert files
    for name in files:
        assert (ROOT / "tests" / name).is_file(), name


@pytest.mark.parametrize(
    ("old", "new", "outcome"),
    [("1 + 1", "3 - 1", "SURVIVED"), ("1 + 1", "1 - 1", "killed"), ("1 + 1", "1 +", "NOT RUN"), ("2", "3", "NOT RUN")],
)
def test_outcomes(old: str, new: str, outcome: str, tmp_path: Path) -> None:
    module = tmp_path / "src" / "densekd" / "sums.py"
    module.parent.mkdir(parents=True)
    (module.parent / "__init__.py").touch()
    module.write_text("def two() -> int:\n    return 1 + 1\n")
    test = tmp_path / "tests" / "test_sums.py"
    test.parent.mkdir()
    test.write_text("from densekd.sums import two\n\n\ndef test_two() -> None:\n    assert two() == 2\n")
    mutant = Mutant("sums.py", old, new, "test_sums.py")
    assert try_mutant(mutant, tmp_path) == outcome
    assert "1 + 1" in module.read_text()
