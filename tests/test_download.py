"""Downloads: the published file, whole, or a DataError and nothing; whatever the server does."""

import gzip
import hashlib
import http.server
import io
import os
import random
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import tracemalloc
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import torch

from wganlab import data
from wganlab.data import _cifar, _download, _mnist
from wganlab.data._download import File, cached, fetch
from wganlab.errors import DataError

CONTENT = random.Random(1).randbytes(300_000)
PACKED = gzip.compress(CONTENT, mtime=0)
CORRUPT = CONTENT[:1000] + bytes([CONTENT[1000] ^ 1]) + CONTENT[1001:]
PACKAGE = Path(data.__file__).parent.parent

# A process that only downloads, without importing torch: argv is folder, url, size, sha256.
ALONE = f"""
import sys, types
from pathlib import Path
for name, folder in (("wganlab", {str(PACKAGE)!r}), ("wganlab.data", {str(PACKAGE / "data")!r})):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [folder]
from wganlab.data._download import File, cached
folder, url, size, sha256 = sys.argv[1:]
print("ready", flush=True)
print(cached(File("set.bin", (url,), sha256, int(size)), Path(folder), download=True))
"""


def sha(content):
    return hashlib.sha256(content).hexdigest()


class Site(http.server.ThreadingHTTPServer):
    """A local server that answers by ``routes``: path -> function of the handler; ``asked`` counts."""

    daemon_threads = True

    def __init__(self, context=None):
        super().__init__(("127.0.0.1", 0), Answer)
        if context:
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self.routes, self.asked, self.closed = {}, [], threading.Event()
        self.url = f"{'https' if context else 'http'}://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def shutdown(self):
        self.closed.set()
        super().shutdown()

    def handle_error(self, request, client_address):
        pass  # a client that hangs up is what is tested

    def file(self, path, answer, *, content=CONTENT, gzipped=False):
        """The ``File`` that this site offers at ``path``, answered as told."""
        self.routes[path] = answer
        return File("set.bin", (self.url + path,), sha(content), len(content), gzipped)


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        self.server.routes[self.path](self)

    def log_message(self, *args):
        pass


def sends(content, *, length=None, status=200, pause=0.0):
    """``content``, in ten pieces with a ``pause`` after each."""

    def answer(handler):
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(content) if length is None else length))
        handler.end_headers()
        for k in range(10):
            handler.wfile.write(content[k * len(content) // 10 : (k + 1) * len(content) // 10])
            time.sleep(pause)

    return answer


def leads_to(place, code=302):
    def answer(handler):
        handler.send_response(code)
        handler.send_header("Location", place)
        handler.end_headers()

    return answer


def streams(piece, pause=0.0, *, start=b"HTTP/1.0 200 OK\r\n\r\n"):
    """``piece`` again and again, for ever, after ``start``."""

    def answer(handler):
        handler.wfile.write(start)
        while not handler.server.closed.wait(pause):
            handler.wfile.write(piece)

    return answer


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(_download, "PAUSES", (0.0, 0.01))


@pytest.fixture
def site(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with Site() as site:
        yield site
        site.shutdown()


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "ein Cache für Daten" / "deep"


def held(folder):
    """Names of all that lies in a folder, parts too."""
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


# What is right comes whole


def test_a_file_is_fetched_once(site, folder):
    file = site.file("/set", sends(CONTENT))
    for _ in range(2):
        path = cached(file, folder, download=True)
        assert path == folder / "set.bin"
        assert path.read_bytes() == CONTENT
    assert held(folder) == ["set.bin"]
    assert site.asked == ["/set"]


@pytest.mark.parametrize("answer", [PACKED, gzip.compress(CONTENT, 1), PACKED + b"more", PACKED[:-4]])
def test_gzip_is_kept_unpacked_however_it_was_packed(site, folder, answer):
    """The sha256 of the content is the truth: bytes after it, or a lost gzip trailer, are not the file."""
    file = site.file("/set", sends(answer), gzipped=True)
    assert cached(file, folder, download=True).read_bytes() == CONTENT


def test_the_next_url_is_asked_when_one_fails(site):
    file = site.file("/lost", sends(b"", status=404))
    site.routes["/set"] = sends(CONTENT)
    assert fetch(file._replace(urls=(*file.urls, site.url + "/set")), 60) == CONTENT
    assert site.asked == ["/lost", "/set"]


@pytest.mark.parametrize("bad", [sends(b"", status=503), sends(CONTENT[:1000], length=300_000)])
def test_what_may_pass_is_asked_again(site, bad):
    answers = [bad, sends(CONTENT)]
    file = site.file("/set", lambda handler: answers.pop(0)(handler))
    assert fetch(file, 60) == CONTENT
    assert site.asked == ["/set", "/set"]


def test_five_redirects_are_followed(site):
    file = site.file("/0", leads_to("/1"))
    for k in range(1, 6):
        site.routes[f"/{k}"] = leads_to(f"{site.url}/{k + 1}", code=(301, 303, 307, 308, 302)[k - 1])
    site.routes["/6"] = sends(CONTENT)
    with pytest.raises(DataError, match=r"/0: HTTP 302"):
        fetch(file, 60)
    assert "/6" not in site.asked
    site.routes["/5"] = sends(CONTENT)
    assert fetch(file, 60) == CONTENT


def test_no_redirect_leaves_https():
    request = urllib.request.Request("https://a.example/x")
    for place in ("http://a.example/x", "ftp://a.example/x", "file:///etc/passwd"):
        with pytest.raises(urllib.error.HTTPError, match=rf"redirect to {place} refused") as caught:
            _download.Redirect().redirect_request(request, io.BytesIO(), 302, "Found", {}, place)
        caught.value.close()
    body = io.BytesIO()
    found = _download.Redirect().redirect_request(request, body, 302, "Found", {}, "https://b.example/x")
    assert found.full_url == "https://b.example/x"
    assert body.closed


# What is wrong leaves nothing (row 20 of the fault table)

HTML = b"<!DOCTYPE html><title>Sign in</title>" + b" " * 500
MANY = _download.Redirect.max_repeats + 1
WRONG = {  # answer, what the message says, how often it is asked
    "404": (sends(b"no", status=404), "HTTP 404 Not Found", 1),
    "500": (sends(b"oh", status=500), "HTTP 500 Internal Server Error", 2),
    "cut": (sends(CONTENT[:1000], length=300_000), f"1000 bytes.* sha256 is {sha(CONTENT[:1000])}", 2),
    "empty": (sends(b""), f"0 bytes came, their sha256 is {sha(b'')}", 2),
    "short": (sends(CONTENT[:-1]), f"299999 bytes came.*{sha(CONTENT[:-1])}", 2),
    "corrupt": (sends(CORRUPT), f"sha256 is {sha(CORRUPT)}", 1),
    "long": (sends(CONTENT + b"x"), f"300001 bytes came, their sha256 is {sha(CONTENT + b'x')}", 1),
    "page": (sends(HTML), f"{sha(HTML)}, the first are b'<!DOCTYPE html>", 2),
    "loop": (leads_to("/set"), "HTTP 302 .*infinite loop", MANY),
    "to a file": (
        leads_to("file:///etc/passwd"),
        "HTTP 302 Found - Redirection to url .file:///etc/passwd. is not allowed",
        1,
    ),
    "to nowhere": (leads_to("http://"), "HTTP|Error|host", None),
    "no http": (
        lambda handler: handler.wfile.write(b"\x1b[2J" + b"x" * 5000 + b"\r\n"),
        r"Line: \[2Jx+\. Exp",
        2,
    ),
    "hangs up": (lambda handler: None, "RemoteDisconnected", 2),
    "endless": (streams(bytes(1 << 16)), r"\d{6} bytes came, .*first are b'\\x00", 1),
    "endless line": (streams(b"a" * 4096, start=b"HTTP/1.0 200 OK\r\nX: "), "LineTooLong", 2),
    "endless headers": (streams(b"X: y\r\n", start=b"HTTP/1.0 200 OK\r\n"), "headers", 2),
    "endless redirect": (
        streams(bytes(1 << 16), start=b"HTTP/1.0 302 Go\r\nLocation: /set\r\n\r\n"),
        "HTTP 302 .*infinite loop",
        MANY,
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_refused(site, folder, name):
    answer, says, times = WRONG[name]
    file = site.file("/set", answer)
    with pytest.raises(DataError, match=says) as caught:
        cached(file, folder, download=True)
    message = str(caught.value)
    assert f"set.bin could not be downloaded within 66 s. {site.url}/set: " in message
    assert f"Expected were 300000 bytes with sha256 {sha(CONTENT)}" in message
    assert message.isprintable()
    assert len(message) < 900
    assert held(folder) == []
    if times:
        assert site.asked == ["/set"] * times


PACKED_WRONG = {
    "page": (HTML, f"{sha(HTML)}, the first are b'<!DOCTYPE html>"),
    "broken": (PACKED[:10] + b"\xff" * 50, f"their sha256 is {sha(PACKED[:10] + bytes([255]) * 50)}"),
    "cut": (PACKED[:1000], r"\d+ bytes came, their sha256 is [0-9a-f]{64}"),
    "other": (gzip.compress(CORRUPT), f"300000 bytes came, their sha256 is {sha(CORRUPT)}"),
}


@pytest.mark.parametrize("name", PACKED_WRONG)
def test_what_is_wrongly_packed_is_refused(site, name):
    content, says = PACKED_WRONG[name]
    with pytest.raises(DataError, match=f"{says}.* Expected were 300000 bytes with sha256 {sha(CONTENT)}"):
        fetch(site.file("/set", sends(content), gzipped=True), 60)


@pytest.mark.parametrize("answer", [sends(gzip.compress(bytes(100_000_000), 9)), streams(bytes(1 << 16))])
def test_neither_a_bomb_nor_a_flood_fills_the_memory(site, answer):
    tracemalloc.start()
    with pytest.raises(DataError, match=r"bytes came"):
        fetch(site.file("/set", answer, content=CONTENT[:1000], gzipped=True), 60)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5_000_000


def test_refused_connections():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    file = File("set.bin", (f"http://127.0.0.1:{port}/set",), sha(CONTENT), len(CONTENT))
    with pytest.raises(DataError, match=rf"127.0.0.1:{port}/set: ConnectionRefusedError"):
        fetch(file, 60)


# Time


@pytest.mark.parametrize(
    "answer",
    [
        streams(b"x", 0.05, start=b"HTTP/1.0 200 OK\r\nContent-Length: 300000\r\n\r\n"),
        streams(b"X: y\r\n", 0.05, start=b"HTTP/1.0 200 OK\r\n"),
        streams(b"a", 0.05, start=b""),
        streams(b"x", 0.05, start=b"HTTP/1.0 302 Go\r\nLocation: /set\r\nX: "),
        streams(b"HTTP/1.1 100 Continue\r\n\r\n", 0.01, start=b""),
    ],
    ids=["body", "headers", "status line", "redirect", "continue"],
)
def test_a_drip_ends_at_the_deadline(site, answer):
    file = site.file("/set", answer)
    file = file._replace(urls=(*file.urls, site.url + "/other"))
    start = time.monotonic()
    with pytest.raises(
        DataError, match=r"within 1 s. .*/set: no whole answer in time; .*/other: no whole answer"
    ):
        fetch(file, 1.0)
    assert 0.9 < time.monotonic() - start < 5
    assert site.asked == ["/set"]


def test_silence_ends_at_the_time_out(site, monkeypatch):
    monkeypatch.setattr(_download, "TIMEOUT", 0.3)
    file = site.file("/set", lambda handler: handler.server.closed.wait(30))
    start = time.monotonic()
    with pytest.raises(DataError, match=r"TimeoutError: timed out"):
        fetch(file, 60)
    assert 0.6 < time.monotonic() - start < 20  # two rounds
    assert site.asked == ["/set", "/set"]


def test_an_interrupt_ends_the_download(site, folder, monkeypatch):
    """Ctrl-C while it is waited for: nothing is left, and the thread asks no further."""

    def interrupted(thread, seconds):
        raise KeyboardInterrupt

    file = site.file("/set", sends(b"", status=503))
    monkeypatch.setattr(_download, "PAUSES", (0.0, 1.0))
    before = threading.active_count()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "join", interrupted)
        with pytest.raises(KeyboardInterrupt):
            cached(file, folder, download=True)
    for _ in range(100):
        time.sleep(0.02)
    assert len(site.asked) <= 1
    assert threading.active_count() <= before
    assert held(folder) == []


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for 127.0.0.1 that nobody trusts, and its key."""
    if not shutil.which("openssl"):
        pytest.skip("needs the openssl command to make a certificate")
    folder = tmp_path_factory.mktemp("tls")
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *names]
    command += ["-keyout", folder / "key.pem", "-out", folder / "cert.pem"]
    subprocess.run(command, check=True, capture_output=True)
    return folder


@pytest.fixture
def secure(site, certificate):  # after ``site``, which clears the proxies
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    with Site(context) as secure:
        yield secure
        secure.shutdown()


def test_a_server_that_nobody_vouches_for_is_refused(secure):
    file = secure.file("/set", sends(CONTENT))
    with pytest.raises(DataError, match=r"SSLCertVerificationError.*certificate verify failed"):
        fetch(file, 60)
    assert secure.asked == []


def test_a_trusted_one_is_not_and_only_by_its_name(secure, site, certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "cert.pem"))
    file = secure.file("/set", sends(CONTENT))
    assert fetch(file, 60) == CONTENT
    other = file._replace(urls=(file.urls[0].replace("127.0.0.1", "localhost"),))
    with pytest.raises(DataError, match=r"SSLCertVerificationError|ConnectionRefused"):
        fetch(other, 60)
    site.routes["/set"] = sends(CONTENT)
    secure.routes["/set"] = leads_to(f"{site.url}/set")  # which has it, in the open
    with pytest.raises(DataError, match=r"redirect to http://.*refused"):
        fetch(file, 60)
    assert site.asked == []
    plain = file._replace(urls=(f"{site.url.replace('http:', 'https:')}/set",))
    with pytest.raises(DataError, match=r"SSLError"):
        fetch(plain, 60)


# The cache (rows 21 and 22)


def test_where_the_cache_is(monkeypatch, tmp_path):
    monkeypatch.setenv("WGANLAB_CACHE", str(tmp_path / "mine"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert data.cache() == tmp_path / "mine"
    monkeypatch.setenv("WGANLAB_CACHE", "~/mine")
    assert data.cache() == tmp_path / "home" / "mine"
    monkeypatch.setenv("WGANLAB_CACHE", "")
    assert data.cache() == tmp_path / "xdg" / "wganlab"
    monkeypatch.setenv("XDG_CACHE_HOME", "not/absolute")  # which its specification tells to ignore
    assert data.cache() == tmp_path / "home" / ".cache" / "wganlab"
    assert held(tmp_path) == []


def test_an_altered_file_of_the_cache(site, folder):
    file = site.file("/set", sends(CONTENT))
    with pytest.raises(DataError, match=r"set.bin is not in the cache. Get it with download=True"):
        cached(file, folder, download=False)
    path = cached(file, folder, download=True)
    assert cached(file, folder, download=False) == path
    path.write_bytes(CORRUPT)
    with pytest.raises(
        DataError, match=f"set.bin was altered: its sha256 is {sha(CORRUPT)}, expected {sha(CONTENT)}"
    ):
        cached(file, folder, download=False)
    site.routes["/set"] = sends(b"", status=404)
    with pytest.raises(DataError, match=r"could not be downloaded"):
        cached(file, folder, download=True)
    site.routes["/set"] = sends(CONTENT)
    assert cached(file, folder, download=True).read_bytes() == CONTENT
    assert held(folder) == ["set.bin"]


def test_a_cache_that_cannot_be_written(site, tmp_path, folder, monkeypatch):
    file = site.file("/set", sends(CONTENT))
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match=r"write .*file.*Set WGANLAB_CACHE"):
        cached(file, tmp_path / "file" / "cache", download=True)
    (folder / "set.bin").mkdir(parents=True)
    with pytest.raises(DataError, match=r"write .*set.bin: Is a directory"):
        cached(file, folder, download=True)
    assert held(folder) == ["set.bin"]

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match=r"No space left on device. .*room for 300000 bytes"):
        cached(file, folder / "full", download=True)
    assert held(folder / "full") == []


def alone(folder, file):
    """A process that fetches ``file``; it has said that it starts."""
    arguments = [folder, file.urls[0], str(file.size), file.sha256]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen([sys.executable, "-c", ALONE, *arguments], **pipes)
    assert process.stdout.readline() == "ready\n"
    return process


def test_four_processes_at_once(site, folder):
    file = site.file("/set", sends(CONTENT, pause=0.05))
    processes = [alone(folder, file) for _ in range(4)]
    # read, not communicate, which would pass over what came together with "ready"
    answers = [(process.stdout.read(), process.stderr.read(), process.wait(120)) for process in processes]
    assert answers == [(f"{folder / 'set.bin'}\n", "", 0)] * 4
    for process in processes:
        process.communicate()
    assert (folder / "set.bin").read_bytes() == CONTENT
    assert held(folder) == ["set.bin"]


def test_kills_in_a_download_leave_no_wrong_file(site, folder):
    file = site.file("/set", sends(CONTENT, pause=0.06))
    wait, killed = random.Random(2), 0
    for _ in range(8):
        process = alone(folder, file)
        time.sleep(wait.uniform(0.0, 0.7))
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
        killed += process.returncode == -signal.SIGKILL
        if "set.bin" in held(folder):
            assert (folder / "set.bin").read_bytes() == CONTENT
            (folder / "set.bin").unlink()
    assert killed >= 4
    (folder / ".set.bin.0.part").write_bytes(b"of a killed write")
    assert cached(file, folder, download=True).read_bytes() == CONTENT
    assert held(folder) == ["set.bin"]


# The whole way


def test_mnist_from_a_server_through_the_cache(site, tmp_path, monkeypatch):
    x = np.arange(3 * 784, dtype=np.uint32).astype(np.uint8).reshape(3, 28, 28)
    images = b"\0\0\x08\x03" + bytes([0, 0, 0, 3, 0, 0, 0, 28, 0, 0, 0, 28]) + x.tobytes()
    labels = b"\0\0\x08\x01" + bytes([0, 0, 0, 3, 7, 0, 9])
    files = []
    for name, content in (("train-images-idx3-ubyte", images), ("train-labels-idx1-ubyte", labels)):
        file = site.file(f"/{name}.gz", sends(gzip.compress(content)), content=content, gzipped=True)
        files.append(file._replace(name=name))
    monkeypatch.setattr(_mnist, "TRAIN", tuple(files))
    monkeypatch.setenv("WGANLAB_CACHE", str(tmp_path / "cache"))
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte is not in the cache"):
        data.mnist()
    found = data.mnist(download=True)
    assert torch.equal(found.x[:, 0], torch.from_numpy(x).float().div(127.5).sub(1))
    assert found.labels.tolist() == [7, 0, 9]
    site.shutdown()
    assert torch.equal(data.mnist().x, found.x)
    assert held(tmp_path / "cache" / "mnist") == ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"]


def test_the_published_files_are_https_and_known():
    for file in (*_mnist.TRAIN, *_mnist.TEST, _cifar.ARCHIVE):
        assert len(file.urls) >= 2
        assert all(url.startswith("https://") and file.name in url for url in file.urls)
        assert len(file.sha256) == 64
        assert file.size > 0
