"""No network: found out within seconds, and said with what to do; what was fetched before is still used."""

import socket
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from huggingface_hub import constants

from densekd.errors import see

# Seconds until a hub counts as out of reach, where its client would try again for a minute.
_PATIENCE = 4.0
BY_HAND = (
    "Fetch it on a machine with a network and copy its folder here, to name it by its path, or copy the hub's cache "
    f"(HF_HOME, ~/.cache/huggingface). {see('offline')}"
)


@contextmanager
def without_waiting(name: str) -> Iterator[None]:
    """Let the hub's clients use what they have kept, and try nothing else, where the hub is out of reach.

    ``HF_HUB_OFFLINE=1`` says so from the start.

    Args:
        name: of a model; for a folder here nobody is asked.
    """
    before = constants.HF_HUB_OFFLINE
    if not before and not Path(name).is_dir() and not is_reachable(constants.ENDPOINT):
        constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def is_reachable(address: str, seconds: float = _PATIENCE) -> bool:
    """Return whether somebody answers at an address, or at the proxy that leads to it.

    Args:
        address: ``https://host`` with any path.
        seconds: that this may take, names included.
    """
    wanted = urlsplit(address)
    proxies = urllib.request.getproxies()
    proxy = proxies.get(wanted.scheme) or proxies.get("all")
    if proxy is not None and not urllib.request.proxy_bypass(wanted.hostname or ""):
        wanted = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    port = wanted.port or (443 if wanted.scheme == "https" else 80)
    answered = threading.Event()

    def ask() -> None:
        try:
            socket.create_connection((wanted.hostname or "", port), seconds).close()
        except OSError:
            return
        answered.set()

    # Looking up a name has no limit of time of its own.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(seconds)
    return answered.is_set()
