"""Checkpoints that claim more than their file holds are refused before memory is given for it."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch

from densekd.errors import UserError
from densekd.models.checkpoints.containers import read_container
from densekd.models.checkpoints.sizes import describe_swollen

READ = """
import resource, sys
from pathlib import Path
import torch
from densekd.errors import UserError
from densekd.models.checkpoints.containers import read_container
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    read_container(Path(sys.argv[1]))
except UserError as error:
    print(error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_a_compressed_pickle_of_zeros_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "bomb.pt"
    torch.save({"a": torch.ones(2)}, path)
    with zipfile.ZipFile(path) as archive:
        name = next(one for one in archive.namelist() if one.endswith("/data.pkl"))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open(name, "w", force_zip64=True) as part:
        for _ in range(1000):
            part.write(bytes(1_000_000))
    assert path.stat().st_size < 2e6
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", READ, path], capture_output=True, text=True, env=environment, check=True
    )
    said, megabytes = done.stdout.splitlines()
    assert "bomb.pt: refused. Its 1.0 MB unpack to 1000 MB, which would fill the memory" in said
    assert int(megabytes) < 200


def test_one_value_repeated_endlessly(tmp_path: Path) -> None:
    path = tmp_path / "wide.pt"
    torch.save({"state_dict": {"a": torch.ones(1).expand(100_000, 100_000)}}, path)
    with pytest.raises(UserError, match=r"wide\.pt: .*its tensors claim 40000 MB, and the file has 0\.0 MB"):
        read_container(path)


def test_what_people_have_is_read(tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    shared = torch.ones(8, 8)
    torch.save({"a": shared, "b": shared[:2], "c": torch.ones(1).expand(5, 5), "d": torch.zeros(0)}, path)
    assert describe_swollen(path) is None
    content = read_container(path).content
    assert content["c"].shape == (5, 5)
    assert content["b"].shape == (2, 8)
