"""A network that is not there costs seconds, and no network at all where nobody asks for one."""

import socket
import time

import pytest
from huggingface_hub import constants

from densekd import network
from densekd.network import is_reachable, without_waiting


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network.urllib.request, "getproxies", dict)


def _never_answered(*_: object) -> None:
    time.sleep(5)
    raise OSError("nobody answered")


def test_who_listens_is_reachable(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert is_reachable(f"http://127.0.0.1:{port}/x")
        # Behind a proxy the proxy is asked.
        monkeypatch.setattr(network.urllib.request, "getproxies", lambda: {"https": f"127.0.0.1:{port}"})
        monkeypatch.setattr(network.urllib.request, "proxy_bypass", lambda host: False)
        assert is_reachable("https://nobody.invalid")
    assert not is_reachable(f"http://127.0.0.1:{port}/x")


def test_a_name_that_nobody_answers_for_takes_no_longer_than_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network.socket, "create_connection", _never_answered)
    started = time.monotonic()
    assert not is_reachable("https://somebody.invalid", 0.2)
    assert time.monotonic() - started < 2


@pytest.mark.parametrize("there", [True, False])
def test_clients_use_what_they_kept_while_the_hub_is_out_of_reach(monkeypatch: pytest.MonkeyPatch, there: bool) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(network, "is_reachable", lambda address: there)
    with without_waiting("owner/name"):
        assert constants.HF_HUB_OFFLINE is not there
    assert constants.HF_HUB_OFFLINE is False
