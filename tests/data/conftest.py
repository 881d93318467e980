"""No test of data downloads; tiny sets, and a server."""

from __future__ import annotations

import os
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from data_sets import ROWS, shrink, write_sets

from pyrovae.data import named, remote


@pytest.fixture(autouse=True)
def nowhere(monkeypatch, tmp_path):
    """No test downloads: the cache is empty, and every address is a closed port of this machine."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr("pooch.os_cache", lambda project: tmp_path / "cache" / project)
    for name, address in remote.ADDRESSES.items():
        closed = remote.Address(f"http://127.0.0.1:9/{name}", address.checksum)
        monkeypatch.setitem(remote.ADDRESSES, name, closed)


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    shrink(monkeypatch)
    write_sets(tmp_path / "tiny")
    monkeypatch.setenv("PYROVAE_DATA", str(tmp_path / "tiny"))
    return tmp_path / "tiny"


@pytest.fixture
def sets(monkeypatch, tmp_path):
    """The real sets where PYROVAE_DATA is set, tiny ones otherwise; gives their sizes."""
    if os.environ.get("PYROVAE_DATA"):
        return {"mnist": (50_000, 10_000, 10_000), "frey-faces": (1565, 200, 200), "mean": 0.1307}
    shrink(monkeypatch)
    sizes = named.NAMED["frey-faces"]
    monkeypatch.setitem(named.NAMED, "frey-faces", named.Named(sizes.about, sizes.read, 256, sizes.allowed, (3, 3)))
    write_sets(tmp_path / "sets")
    monkeypatch.setenv("PYROVAE_DATA", str(tmp_path / "sets"))
    mnist = (ROWS["train"] - ROWS["valid"], ROWS["valid"], ROWS["test"])
    return {"mnist": mnist, "frey-faces": (24, 3, 3), "mean": 0.5}


@pytest.fixture
def server(tmp_path):
    """A folder served by HTTP on this machine, and its address."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    folder = tmp_path / "served"
    folder.mkdir()
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{httpd.server_port}/"
    httpd.shutdown()
    httpd.server_close()
