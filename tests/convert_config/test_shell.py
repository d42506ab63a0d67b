"""Scripts are read as text: commands with their literal variables, and nothing is run."""

from pathlib import Path

import pytest
from original_configs import write

from densekd.convert_config.shell import read_script, read_words
from densekd.errors import UserError


def test_a_command_with_continuations_comments_and_variables(tmp_path: Path) -> None:
    script = write(
        tmp_path,
        "run.sh",
        "#!/bin/bash\n# a comment\nDATA=/data/city\nexport NAME=run\nCUDA_VISIBLE_DEVICES=0,1 \\\n"
        "  python -m torch.distributed.launch --nproc_per_node=8 \\ \n  train_kd.py --data ${DATA}/x \\\n"
        "  --save-dir $NAME --lr 0.01 > log.txt 2>&1  # end\necho done train_kd.py\n",
    )
    (command,) = read_script(script)
    assert command.program == "train_kd.py"
    assert command.words == ("--data", "/data/city/x", "--save-dir", "run", "--lr", "0.01")
    assert (command.devices, command.line) == (8, 5)


def test_a_script_may_have_several_commands(tmp_path: Path) -> None:
    script = write(tmp_path, "run.sh", "cd x && python train.py --a 1; bash exp.sh b\n")
    assert [command.program for command in read_script(script)] == ["train.py", "exp.sh"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("python train.py --lr $(rm -rf x)\n", "would have to be executed"),
        ("python train.py --lr `cat x`\n", "would have to be executed"),
        ("python train.py --lr $LR\n", "does not assign literally"),
        ("LR=$(cat x)\npython train.py --lr $LR\n", "does not assign literally"),
        ("for x in 1 2; do python train.py; done\n", "loops and conditions"),
        ("for x in 1 2\ndo\n  python train.py --lr $x\ndone\n", "does not assign literally"),
        ("python train.py --name 'x\n", "not a shell command"),
    ],
)
def test_what_would_have_to_be_run_is_refused(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        read_script(write(tmp_path, "run.sh", text))


def test_growing_variables_end(tmp_path: Path) -> None:
    lines = ["A0=ab"] + [f"A{k}=$A{k - 1}$A{k - 1}" for k in range(1, 60)] + ["python train.py --x $A59"]
    with pytest.raises(UserError, match="does not assign literally"):
        read_script(write(tmp_path, "run.sh", "\n".join(lines)))


def test_a_typed_command_is_words_or_one_text() -> None:
    (words,) = read_words(
        ["python", "-m", "torch.distributed.launch", "--nproc_per_node", "4", "train_hwd.py", "--L", "MSE"]
    )
    (text,) = read_words(["python -m torch.distributed.launch --nproc_per_node 4 \\\n train_hwd.py --L MSE"])
    assert words == text
    assert words.devices == 4


def test_files_that_are_no_script(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        read_script(tmp_path / "none.sh")
    with pytest.raises(UserError, match="larger than"):
        read_script(write(tmp_path, "big.sh", "#" * 200_001))
