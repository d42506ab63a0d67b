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


def test_threads_wait_for_the_one_that_executes_the_package(tmp_path: Path) -> None:
    run(
        tmp_path,
        BEGIN
        + """
import threading
failed = []
def use(number):
    try:
        if number % 3 == 0:
            import torchmetrics
            assert torchmetrics.WHOLE and torchmetrics.Score
        elif number % 3 == 1:
            from torchmetrics import Score, text
            assert text.Score is Score
        else:
            assert "WHOLE" in dir(lightning.part.torchmetrics)
    except BaseException as error:
        failed.append((number, repr(error)))
threads = [threading.Thread(target=use, args=(number,)) for number in range(12)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert not failed, failed
""",
        **{"torchmetrics/text.py": "import time\ntime.sleep(0.2)\n" + LIBRARIES["torchmetrics/text.py"]},
    )


def test_a_thread_that_comes_while_lightning_is_imported_gets_all_of_it(tmp_path: Path) -> None:
    begin = "from torchmetrics import Metric\nimport time\ntime.sleep(0.3)\nfrom lightning import part\n"
    for use in ("import torchmetrics.text, torchmetrics as all", "import torchmetrics as all; all.WHOLE"):
        run(
            tmp_path,
            f"""
import densekd, sys, threading
thread = threading.Thread(target=__import__, args=("lightning",))
thread.start()
while "torchmetrics" not in sys.modules: pass
{use}
thread.join()
import lightning
assert all.WHOLE and all.Score and all.text.Score and all.Metric is lightning.Metric
assert all is lightning.part.torchmetrics is sys.modules["torchmetrics"]
""",
            **{"lightning/__init__.py": begin},
        )


def test_part_that_is_asked_for_first_is_executed_once(tmp_path: Path) -> None:
    run(
        tmp_path,
        BEGIN
        + """
import torchmetrics.text, torchmetrics
assert torchmetrics.text.Score is torchmetrics.Score and torchmetrics.text is sys.modules["torchmetrics.text"]
""",
    )


def test_the_decorator_of_torch_is_back_after_threads_replaced_it_at_once(tmp_path: Path) -> None:
    slow = "import time\ntime.sleep({})\nimport torch\nSEEN = torch.compiler.disable\n"
    torch = {
        "torch/__init__.py": "from torch import compiler\n",
        "torch/compiler.py": "def disable(fn): return fn\n",
        "torchvision/__init__.py": slow.format(0.1),
        "torchvision/tv_tensors.py": "",
        "timm/__init__.py": slow.format(0.3),
    }
    run(
        tmp_path,
        """
import sys, threading
from importlib.util import module_from_spec, spec_from_file_location
import os
# Without densekd, which imports the real torch for itself.
source = os.environ["PYTHONPATH"].split(os.pathsep)[1]
spec = spec_from_file_location("lean_imports", source + "/densekd/lean_imports.py")
lean_imports = module_from_spec(spec)
spec.loader.exec_module(lean_imports)
lean_imports.import_lean()
import torch
before = torch.compiler.disable
threads = [threading.Thread(target=__import__, args=(name,)) for name in ("torchvision", "timm")]
for thread in threads: thread.start()
for thread in threads: thread.join()
import timm, torchvision
assert timm.SEEN is torchvision.SEEN is lean_imports._disable
assert torch.compiler.disable is before and "torch._dynamo.utils" not in sys.modules
""",
        **torch,
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
