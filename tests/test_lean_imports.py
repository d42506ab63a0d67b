"""Libraries that stand for Lightning and torchmetrics: two classes at first, everything when it is asked for."""

import os
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src"
# As the real ones are built: the package imports everything, the two classes need its plots and its logger.
LIBRARIES = {
    "lightning/__init__.py": "from torchmetrics import Metric, MetricCollection\nfrom lightning import part\n",
    "lightning/part.py": "import torchmetrics\nassert torchmetrics.__version__ == '1.9'\n",
    "torchmetrics/__init__.py": """
import os
if os.environ.get("BROKEN"):
    raise ImportError("broken")
import logging
_logger = logging.getLogger("torchmetrics")
from torchmetrics.__about__ import *
from torchmetrics import utilities
from torchmetrics.collections import MetricCollection
from torchmetrics.metric import Metric
from torchmetrics.text import Score
WHOLE = True
""",
    "torchmetrics/__about__.py": "__version__ = '1.9'\n__all__ = ['__version__']\n",
    "torchmetrics/utilities/__init__.py": "from torchmetrics.utilities import checks\n",
    "torchmetrics/utilities/checks.py": "from torchmetrics import _logger\nfrom torchmetrics.metric import Metric\n",
    "torchmetrics/utilities/plot.py": """
import heavy
_AX_TYPE, _PLOT_OUT_TYPE = int, str
def plot_single_or_multi_val(value):
    return f"plot of {value}"
""",
    "torchmetrics/metric.py": """
from torchmetrics.utilities.plot import _AX_TYPE, _PLOT_OUT_TYPE, plot_single_or_multi_val
class Metric:
    def plot(self):
        return plot_single_or_multi_val(3)
""",
    "torchmetrics/collections.py": """
from torchmetrics.metric import Metric
from torchmetrics.utilities.plot import _AX_TYPE, _PLOT_OUT_TYPE, plot_single_or_multi_val
class MetricCollection: pass
""",
    "torchmetrics/text.py": "from torchmetrics.metric import Metric\nclass Score(Metric): pass\n",
    "heavy.py": "",
}
BEGIN = """
import os, sys
import densekd, lightning
assert "heavy" not in sys.modules and "torchmetrics.text" not in sys.modules
"""


def run(folder: Path, program: str, **libraries: str) -> None:
    for name, text in (LIBRARIES | libraries).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    environment = {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{SOURCE}"}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


USES = (
    "import torchmetrics; torchmetrics.Score",
    "from torchmetrics import Score",
    "from torchmetrics import Metric",
    "import torchmetrics.text",
    "from torchmetrics.text import Score",
    "from torchmetrics import *",
    "lightning.part.torchmetrics.WHOLE",
    "lightning.Metric().plot()",
)


def test_whoever_uses_torchmetrics_gets_all_of_it(tmp_path: Path) -> None:
    run(
        tmp_path,
        BEGIN
        + f"""
for use in {USES!r}:
    # Each in a process where nothing has used it yet.
    child = os.fork()
    if child:
        assert os.waitpid(child, 0)[1] == 0, use
        continue
    try:
        exec(use)
        assert "heavy" in sys.modules
        import torchmetrics
        from torchmetrics import metric, collections
        assert torchmetrics.WHOLE and torchmetrics.text.Score and torchmetrics.utilities.plot.__file__
        assert torchmetrics.Metric is lightning.Metric is torchmetrics.Score.__mro__[1]
        assert torchmetrics.MetricCollection is lightning.MetricCollection
        assert metric._AX_TYPE is collections._AX_TYPE is int and metric._PLOT_OUT_TYPE is str
        assert lightning.Metric().plot() == "plot of 3"
        assert lightning.__loader__.get_source("lightning").startswith("from torchmetrics")
        os._exit(0)
    finally:
        sys.excepthook(*sys.exc_info())
        os._exit(1)
""",
    )


def test_a_package_that_cannot_be_imported_says_so_each_time(tmp_path: Path) -> None:
    run(
        tmp_path,
        BEGIN
        + """
os.environ["BROKEN"] = "1"
for attempt in range(2):
    try:
        from torchmetrics import Score
    except ImportError as error:
        assert str(error) == "broken", error
    else:
        raise AssertionError
del os.environ["BROKEN"]
from torchmetrics import Score
""",
    )


def test_a_version_that_is_built_otherwise_is_imported_as_it_is(tmp_path: Path) -> None:
    other = {
        "torchmetrics/__init__.py": "__version__ = '1.9'\nMetric = MetricCollection = object\nWHOLE = True\n",
        "torchmetrics/metric.py": "",
    }
    run(tmp_path, "import densekd, lightning, sys; assert sys.modules['torchmetrics'].WHOLE", **other)


def test_what_is_imported_already_stays(tmp_path: Path) -> None:
    program = (
        "import torchmetrics as own, densekd, lightning, sys; assert sys.modules['torchmetrics'] is own and own.WHOLE"
    )
    run(tmp_path, program)
