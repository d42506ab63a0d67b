"""Golden cases in our terms: one file per method, named after its row in ``LOSSES``.

A method of the golden set is one function: it takes a case and the original's hyper-parameters by name and says what
they are here. A file has

- ``METHODS``: the golden set's name of a method -> its function;
- ``REFUSED`` (optional): what we refuse although the original returns something;
- ``DOCUMENTED_OUTPUTS`` (optional): outputs that describe an unreduced tensor, which a loss of ours never returns.
"""

import pkgutil
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from golden_cases import Method

METHODS: dict[str, Method] = {}
REFUSED: dict[str, Callable[[Mapping[str, Any]], bool]] = {}
DOCUMENTED_OUTPUTS: dict[str, set[str]] = {}

for _file in pkgutil.iter_modules(__path__):
    _module = import_module(f"golden.{_file.name}")
    METHODS |= _module.METHODS
    REFUSED |= getattr(_module, "REFUSED", {})
    DOCUMENTED_OUTPUTS |= getattr(_module, "DOCUMENTED_OUTPUTS", {})
