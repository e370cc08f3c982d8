"""Fetching, against a server on this machine."""

import contextlib
import hashlib
import http.server
import socket
import struct
import subprocess
import sys
import threading
import time

import pytest

from data_tools import fetch
from resnet_np.errors import DataError

pytestmark = pytest.mark.nojit
CONTENT = b"archive" * 50_000


class Handler(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.server.answering.wait(5)
        self.answer()

    def do_GET(self):
        self.server.downloads += 1
        self.answer()
        if self.server.status == 200:
            self.server.send(self)

    def answer(self):
        self.send_response(self.server.status)
        if self.server.announced is not None:
            self.send_header("Content-Length", str(self.server.announced))
        self.end_headers()

    def log_message(self, *_):
        pass


def send_all(handler):
    handler.wfile.write(handler.server.content)


@pytest.fixture
def server(monkeypatch):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.status, server.content, server.announced, server.downloads = 200, CONTENT, len(CONTENT), 0
        server.send, server.answering = send_all, threading.Event()
        server.answering.set()
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


def test_a_body_cut_short_that_nobody_announced(server, tmp_path):
    # Without a Content-Length the end of the connection is the end of the body: the checksum alone can tell.
    server.announced, server.content = None, CONTENT[:1000]
    assert "not the official archive" in refusal(tmp_path)
    server.content = CONTENT
    assert fetch.fetch(tmp_path, progress=False).read_bytes() == CONTENT


def test_a_connection_that_breaks(server, tmp_path):
    def reset(handler):
        handler.wfile.write(CONTENT[:1 << 17])
        # Linger for no time: the client is sent a reset instead of an orderly end.
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        handler.connection.close()

    server.send = reset
    assert "connection to 127.0.0.1 was lost; run it again" in refusal(tmp_path)
    server.send = send_all
    assert fetch.fetch(tmp_path, progress=False).read_bytes() == CONTENT


def test_a_trickle_is_waited_for_and_a_silence_is_not(server, tmp_path, monkeypatch):
    monkeypatch.setattr(fetch, "READ_TIMEOUT", 0.5)

    def trickle(handler):
        for start in range(0, len(CONTENT), 50_000):  # together longer than the timeout
            handler.wfile.write(CONTENT[start:start + 50_000])
            time.sleep(0.1)

    def stall(handler):
        handler.wfile.write(CONTENT[:1000])
        released.wait(60)

    released = threading.Event()
    server.send = stall
    start = time.monotonic()
    assert "connection to 127.0.0.1 was lost" in refusal(tmp_path)
    assert time.monotonic() - start < 20  # a third of the silence: the machine may be busy
    released.set()
    server.send = trickle
    assert fetch.fetch(tmp_path, progress=False).read_bytes() == CONTENT


def test_a_server_that_is_slow_to_answer_is_not_offline(server, tmp_path, monkeypatch):
    monkeypatch.setattr(fetch, "CONNECT_TIMEOUT", 0.4)
    server.answering.clear()
    assert fetch.fetch(tmp_path, progress=False).read_bytes() == CONTENT
    server.answering.set()


def test_nobody_accepts_the_connection(tmp_path, monkeypatch):
    assert (fetch.CONNECT_TIMEOUT, fetch.READ_TIMEOUT) == (5, 30)
    monkeypatch.setattr(fetch, "CONNECT_TIMEOUT", 0.3)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with socket.socket() as deaf, contextlib.ExitStack() as waiting:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        for _ in range(4):  # the queue is full: Linux answers no more of them
            client = waiting.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(deaf.getsockname())
        monkeypatch.setattr(fetch, "URL", f"http://127.0.0.1:{deaf.getsockname()[1]}/x")
        start = time.monotonic()
        assert "offline: no answer from 127.0.0.1" in refusal(tmp_path)
        assert 0.25 < time.monotonic() - start < 4.5  # not the 5 seconds of a user


FETCH = """
import sys
from pathlib import Path
from data_tools import fetch
fetch.URL, fetch.SHA256 = sys.argv[1:3]
fetch.fetch(Path(sys.argv[3]), progress=False)
"""


@pytest.fixture
def halfway(server, tmp_path):
    """Another process that has fetched half of the archive into tmp_path and waits for the rest."""
    released = threading.Event()

    def send_half(handler):
        handler.wfile.write(CONTENT[:len(CONTENT) // 2])
        handler.wfile.flush()
        released.wait(60)
        with contextlib.suppress(OSError):  # it was killed
            handler.wfile.write(CONTENT[len(CONTENT) // 2:])

    server.send = send_half
    process = subprocess.Popen([sys.executable, "-c", FETCH, fetch.URL, fetch.SHA256, str(tmp_path)])
    process.released = released
    deadline = time.monotonic() + 60
    while not any(path.is_file() and path.stat().st_size > 100_000 for path in tmp_path.rglob("*")):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    server.send = send_all
    yield process
    released.set()
    process.kill()
    process.wait()


def test_what_a_killed_fetch_left_is_removed_by_the_next(tmp_path, halfway):
    halfway.kill()
    halfway.wait()
    others = [tmp_path / "notes", tmp_path / "tmpabcdefgh", tmp_path / "tmpijklmnop"]
    others[0].write_text("not ours")
    others[1].write_text("not ours")
    others[2].mkdir()
    assert len(list(tmp_path.iterdir())) == 4
    path = fetch.fetch(tmp_path, progress=False)
    assert path.read_bytes() == CONTENT
    assert sorted(tmp_path.iterdir()) == sorted([path, *others])


def test_what_a_living_fetch_is_writing_is_left_alone(tmp_path, halfway):
    path = fetch.fetch(tmp_path, progress=False)
    assert path.read_bytes() == CONTENT
    assert len(list(tmp_path.iterdir())) == 2
    halfway.released.set()
    assert halfway.wait(timeout=60) == 0
    assert path.read_bytes() == CONTENT
    assert list(tmp_path.iterdir()) == [path]


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
        released.wait(60)
        raise socket.gaierror

    released = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", hang)
    start = time.monotonic()
    assert "offline" in refusal(tmp_path)
    assert time.monotonic() - start < 20
    released.set()


@pytest.mark.parametrize(("error", "advice"), [("SSLError", "check this machine's clock and its certificates"),
                                               ("TooManyRedirects", "cannot be fetched (TooManyRedirects)")])
@pytest.mark.parametrize("method", ["head", "get"])
def test_a_certificate_that_fails_and_the_rest(server, tmp_path, monkeypatch, error, advice, method):
    import requests

    def refuse(*_, **__):
        raise getattr(requests.exceptions, error)("certificate verify failed")

    monkeypatch.setattr(requests, method, refuse)
    assert advice in refusal(tmp_path)


def test_a_folder_that_cannot_be_made(server, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        fetch.fetch(tmp_path / "file" / "folder", progress=False)
