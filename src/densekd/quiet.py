"""Quiet libraries: banners and warnings that are not the user's."""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_LOGGERS = (
    "lightning",
    "lightning.pytorch",
    "lightning.fabric",
    "torch.distributed",
    "transformers",
)

# Whose warnings are not the user's, as regular expressions on module names.
_MODULES = (r"lightning\.", r"torch(data)?\.", r"pytorch_lightning\.")


def silence_libraries() -> None:
    """Keep banners and warnings of libraries off the screen; ours are raised or printed."""
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    # Transformers is imported later, if at all, and reads this then.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Silence libraries for a while; warnings of other code are shown."""
    levels = {name: logging.getLogger(name).level for name in _LOGGERS}
    silence_libraries()
    try:
        with warnings.catch_warnings():
            for module in _MODULES:
                warnings.filterwarnings("ignore", module=module)
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
