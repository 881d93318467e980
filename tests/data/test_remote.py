"""Downloads, from a server on this machine."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from data_sets import one_sentence
from scipy.io import savemat

from pyrovae.data import load, named, remote
from pyrovae.errors import DataError


def serve(monkeypatch, server, name: str, content: bytes, checksum: str | None) -> None:
    folder, url = server
    (folder / name).write_bytes(content)
    monkeypatch.setitem(remote.ADDRESSES, name, remote.Address(url + name, checksum))


def amat_of(tiny, part: str) -> bytes:
    bits = np.unpackbits(np.load(tiny / f"BinaryMNIST/binarized_mnist_{part}.npz")["packed"], axis=1)
    return b"".join(b" ".join(b"01"[bit : bit + 1] for bit in row) + b" \n" for row in bits)


def cached(tmp_path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "cache").rglob("*") if path.is_file())


def test_download_into_the_cache(monkeypatch, server, tiny, tmp_path):
    expected = load("binary-mnist").fingerprint()
    for part in ("train", "valid", "test"):
        content = amat_of(tiny, part)
        serve(
            monkeypatch,
            server,
            f"binarized_mnist_{part}.amat",
            content,
            f"md5:{hashlib.md5(content).hexdigest()}",
        )
    monkeypatch.setenv("PYROVAE_DATA", str(tmp_path / "elsewhere"))
    assert load("binary-mnist").fingerprint() == expected
    assert cached(tmp_path) == [f"binarized_mnist_{part}.amat" for part in ("test", "train", "valid")]
    for path in server[0].iterdir():
        path.unlink()
    assert load("binary-mnist").fingerprint() == expected


def test_download_of_other_content_leaves_no_file(monkeypatch, server, tiny, tmp_path):
    serve(monkeypatch, server, "binarized_mnist_train.amat", amat_of(tiny, "train"), "sha256:" + "0" * 64)
    monkeypatch.delenv("PYROVAE_DATA")
    with pytest.raises(DataError, match=r"not what was published.*PYROVAE_DATA or root.*BinaryMNIST") as caught:
        load("binary-mnist")
    assert cached(tmp_path) == [] and one_sentence(caught.value)


def test_frey_faces_are_verified_by_content(monkeypatch, server, tiny, tmp_path):
    faces = np.load(tiny / "FreyFaces/frey_faces.npz")["images"]
    savemat(tmp_path / "faces.mat", {"ff": faces.reshape(len(faces), -1).T})
    serve(monkeypatch, server, "frey_rawface.mat", (tmp_path / "faces.mat").read_bytes(), None)
    monkeypatch.delenv("PYROVAE_DATA")
    with pytest.raises(DataError, match="not what was published"):
        named.read_frey_faces(None)
    assert cached(tmp_path) == []
    monkeypatch.setattr(named, "FREY_CONTENT", hashlib.sha256(faces.tobytes()).hexdigest())
    assert np.array_equal(named.read_frey_faces(None)[""]["x"], faces)
    serve(monkeypatch, server, "frey_rawface.mat", b"not a matrix", None)
    (tmp_path / "cache/pyrovae/FreyFaces/frey_rawface.mat").unlink()
    with pytest.raises(DataError, match="not what was published"):
        named.read_frey_faces(None)
    assert cached(tmp_path) == []


@pytest.mark.parametrize("name", ["mnist", "binary-mnist", "frey-faces"])
def test_no_network(monkeypatch, tmp_path, name):
    monkeypatch.delenv("PYROVAE_DATA", raising=False)
    with pytest.raises(DataError, match=r"ConnectionError.*set PYROVAE_DATA or root to a folder that holds") as caught:
        load(name, root=tmp_path)
    assert cached(tmp_path) == [] and one_sentence(caught.value)


def test_missing_on_the_server(monkeypatch, server, tmp_path):
    monkeypatch.delenv("PYROVAE_DATA", raising=False)
    name = "train-images-idx3-ubyte.gz"
    monkeypatch.setitem(remote.ADDRESSES, name, remote.Address(server[1] + name, None))
    with pytest.raises(DataError, match="HTTP status 404"):
        load("mnist", root=tmp_path)
