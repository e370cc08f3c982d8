"""Fetching, against a server on this machine."""

import hashlib
import http.server
import socket
import threading
import time

import pytest

from data_tools import fetch
from resnet_np.errors import DataError

pytestmark = pytest.mark.nojit
CONTENT = b"archive" * 50_000


class Handler(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.answer()

    def do_GET(self):
        self.server.downloads += 1
        self.answer()
        if self.server.status == 200:
            self.wfile.write(self.server.content)

    def answer(self):
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(self.server.announced))
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.status, server.content, server.announced, server.downloads = 200, CONTENT, len(CONTENT), 0
        monkeypatch.setattr(fetch, "URL", f"http://127.0.0.1:{server.server_port}/{fetch.ARCHIVE}")
        monkeypatch.setattr(fetch, "SHA256", hashlib.sha256(CONTENT).hexdigest())
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield server
        server.shutdown()


def refusal(folder):
    with pytest.raises(DataError) as caught:
        fetch.fetch(folder, progress=False)
    message = str(caught.value)
    assert "\n" not in message
    assert not any(word in message.lower() for word in ("verify=", "insecure", "disable", "switch off", "no-check"))
    assert not folder.exists() or not list(folder.iterdir())  # nothing left that could be taken for the archive
    return message


def test_official_numbers():
    # FACTS: the home page's binary archive.
    assert fetch.URL == "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
    assert fetch.SHA256 == "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"


def test_fetches_once(server, tmp_path, capsys):
    path = fetch.fetch(tmp_path / "new" / "folder", progress=True)
    assert path == tmp_path / "new" / "folder" / "cifar-10-binary.tar.gz"
    assert path.read_bytes() == CONTENT
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    assert "100%" in capsys.readouterr().err
    server.status = 500
    assert fetch.fetch(path.parent) == path
    assert server.downloads == 1


def test_a_damaged_copy_is_fetched_again(server, tmp_path):
    (tmp_path / fetch.ARCHIVE).write_bytes(CONTENT[:-1])
    assert fetch.fetch(tmp_path, progress=False).read_bytes() == CONTENT


def test_the_cache_is_the_default(server, empty_cache):
    path = fetch.fetch(progress=False)
    assert path.read_bytes() == CONTENT
    assert empty_cache in path.parents


def test_wrong_checksum(server, tmp_path):
    server.content = b"ARCHIVE" * 50_000
    assert "not the official archive" in refusal(tmp_path)


def test_404(server, tmp_path):
    server.status = 404
    assert "404" in refusal(tmp_path)


def test_connection_lost_and_a_second_try(server, tmp_path):
    server.announced = len(CONTENT) + 1
    assert "connection to 127.0.0.1 was lost" in refusal(tmp_path)
    server.announced = len(CONTENT)
    assert fetch.fetch(tmp_path, progress=False).read_bytes() == CONTENT


def test_connection_refused_is_offline(server, tmp_path, monkeypatch):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setattr(fetch, "URL", f"http://127.0.0.1:{unused.getsockname()[1]}/x")
        assert "offline: no answer from 127.0.0.1" in refusal(tmp_path)


def test_unknown_host_is_offline(tmp_path, monkeypatch):
    def unknown(*_, **__):
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert "offline: no answer from www.cs.toronto.edu" in refusal(tmp_path)


def test_a_name_look_up_that_hangs_is_offline_in_time(tmp_path, monkeypatch):
    monkeypatch.setattr(fetch, "CONNECT_TIMEOUT", 0.2)

    def hang(*_, **__):
        time.sleep(3)
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    start = time.monotonic()
    assert "offline" in refusal(tmp_path)
    assert time.monotonic() - start < 2


def test_a_certificate_that_fails(tmp_path, monkeypatch):
    import requests

    def refuse(*_, **__):
        raise requests.exceptions.SSLError("certificate verify failed")

    monkeypatch.setattr(requests, "head", refuse)
    assert "check this machine's clock and its certificates" in refusal(tmp_path)


def test_a_folder_that_cannot_be_made(server, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        fetch.fetch(tmp_path / "file" / "folder", progress=False)
