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
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from wganlab import data
from wganlab.data import fetch as fetching
from wganlab.data import idx, web
from wganlab.data.fetch import File, Patience, fetch
from wganlab.data.web import Fault
from wganlab.errors import DataError

CONTENT = random.Random(1).randbytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
PACKED = gzip.compress(CONTENT, mtime=0)
QUICK = Patience(deadline=60, timeout=20, pause=0.01, rounds=2)
PACKAGE = Path(data.__file__).parent.parent

# A process that only downloads, without importing torch: argv is folder, url, size, sha256.
ALONE = f"""
import sys, types
from pathlib import Path
for name, folder in (("wganlab", {str(PACKAGE)!r}), ("wganlab.data", {str(PACKAGE / "data")!r})):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [folder]
from wganlab.data.fetch import File, fetch
folder, url, size, sha256 = sys.argv[1:]
print("ready", flush=True)
print(fetch(File("set.bin", (url,), sha256, int(size)), Path(folder)))
"""


class Site(http.server.ThreadingHTTPServer):
    """A local server that answers by ``routes``: path -> function of the handler; ``asked`` counts."""

    daemon_threads = True

    def __init__(self, context=None):
        super().__init__(("127.0.0.1", 0), Answer)
        if context:
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self.routes, self.asked = {}, []
        self.url = f"{'https' if context else 'http'}://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def handle_error(self, request, client_address):
        pass  # a client that hangs up is what is tested

    def file(self, path, answer, *, content=CONTENT, gzipped=False):
        """The ``File`` that this site offers at ``path``, answered as told."""
        self.routes[path] = answer
        sha256 = hashlib.sha256(content).hexdigest()
        return File("set.bin", (self.url + path,), sha256, len(content), gzipped)


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        self.server.routes[self.path](self)

    def log_message(self, *args):
        pass


def sends(content, *, length=None, status=200, kind="application/octet-stream"):
    def answer(handler):
        handler.send_response(status)
        handler.send_header("Content-Type", kind)
        handler.send_header("Content-Length", str(len(content) if length is None else length))
        handler.end_headers()
        handler.wfile.write(content)

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
        while True:
            handler.wfile.write(piece)
            handler.wfile.flush()
            time.sleep(pause)

    return answer


def in_turn(*answers):
    left = list(answers)
    return lambda handler: left.pop(0)(handler)


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
    path = fetch(file, folder, QUICK)
    assert path == folder / "set.bin"
    assert path.read_bytes() == CONTENT
    assert held(folder) == ["set.bin"]
    assert fetch(file, folder, QUICK) == path
    assert site.asked == ["/set"]


def test_gzip_is_kept_unpacked_however_it_was_packed(site, folder):
    for level in (1, 9):
        file = site.file("/set", sends(gzip.compress(CONTENT, level)), gzipped=True)
        assert fetch(file, folder / str(level), QUICK).read_bytes() == CONTENT


def test_the_end_of_the_packing_does_not_matter_if_the_content_is_whole(site, folder):
    """The sha256 of the content is the truth: bytes after it, or a lost gzip trailer, are not the file."""
    for answer in (PACKED + b"more", PACKED[:-4]):
        file = site.file("/set", sends(answer), gzipped=True)
        assert fetch(file, folder / str(len(answer)), QUICK).read_bytes() == CONTENT


def test_the_next_url_is_asked_when_one_fails(site, folder):
    file = site.file("/lost", sends(b"", status=404))
    file = file._replace(urls=(*file.urls, site.url + "/set"))
    site.routes["/set"] = sends(CONTENT)
    assert fetch(file, folder, QUICK).read_bytes() == CONTENT
    assert site.asked == ["/lost", "/set"]


@pytest.mark.parametrize("bad", [sends(b"", status=503), sends(CONTENT[:1000], length=300_000)])
def test_what_may_pass_is_asked_again(site, folder, bad):
    file = site.file("/set", in_turn(bad, sends(CONTENT)))
    assert fetch(file, folder, QUICK).read_bytes() == CONTENT
    assert site.asked == ["/set", "/set"]
    assert held(folder) == ["set.bin"]


def test_five_redirects_are_followed(site, folder):
    file = site.file("/0", leads_to("/1"))
    for k in range(1, 5):
        site.routes[f"/{k}"] = leads_to(f"{site.url}/{k + 1}", code=(301, 303, 307, 308)[k - 1])
    site.routes["/5"] = sends(CONTENT)
    assert fetch(file, folder, QUICK).read_bytes() == CONTENT
    site.routes["/5"] = leads_to("/6")
    site.routes["/6"] = sends(CONTENT)
    with pytest.raises(DataError, match=r"/0: HTTP 302"):
        fetch(file, folder / "other", QUICK)
    assert "/6" not in site.asked


# What is wrong leaves nothing (row 20 of the fault table)

HTML = b"<!DOCTYPE html><title>Sign in</title>" + b" " * 500
CORRUPT = CONTENT[:1000] + bytes([CONTENT[1000] ^ 1]) + CONTENT[1001:]
WRONG = {  # answer, what the message says, how often it is asked
    "404": (sends(b"no", status=404), "HTTP 404 Not Found", 1),
    "403": (sends(HTML, status=403), "HTTP 403 Forbidden", 1),
    "500": (sends(b"oh", status=500), "HTTP 500 Internal Server Error", 2),
    "429": (sends(b"", status=429), "HTTP 429 Too Many Requests", 2),
    "cut": (
        sends(CONTENT[:1000], length=300_000),
        f"1000 bytes came, their sha256 is {hashlib.sha256(CONTENT[:1000]).hexdigest()}",
        2,
    ),
    "empty": (sends(b""), f"0 bytes came, their sha256 is {hashlib.sha256(b'').hexdigest()}", 2),
    "short": (sends(CONTENT[:-1]), f"299999 bytes came.*{hashlib.sha256(CONTENT[:-1]).hexdigest()}", 2),
    "corrupt": (sends(CORRUPT), f"sha256 is {hashlib.sha256(CORRUPT).hexdigest()}", 1),
    "long": (sends(CONTENT + b"x"), "more than 300000 bytes came", 1),
    "page": (
        sends(HTML, kind="text/html"),
        f"{hashlib.sha256(HTML).hexdigest()}, the first are b'<!DOCTYPE html>",
        2,
    ),
    "loop": (leads_to("/set"), "HTTP 302 .*infinite loop", 1 + web.Redirect.max_repeats),
    "to a file": (leads_to("file:///etc/passwd"), "HTTP 302", 1),
    "to ftp": (leads_to("ftp://127.0.0.1/set"), "HTTP 302 redirect to ftp.*refused", 1),
    "to nowhere": (leads_to("http://"), "HTTP|Error|host", None),
    "no http": (lambda handler: handler.wfile.write(b"SSH-2.0-x\r\n"), "BadStatusLine: SSH-2.0-x. Exp", 2),
    "escapes": (lambda handler: handler.wfile.write(b"\x1b[2Jgone\r\n"), r"BadStatusLine: \[2Jgone. Exp", 2),
    "novel": (lambda handler: handler.wfile.write(b"word " * 5000 + b"\r\n"), "BadStatusLine: word word", 2),
    "hangs up": (lambda handler: None, "RemoteDisconnected", 2),
    "endless": (streams(bytes(1 << 16)), r"more than (434072|300000) bytes came", 1),
    "endless line": (streams(b"a" * 4096, start=b"HTTP/1.0 200 OK\r\nX: "), "LineTooLong", 2),
    "endless headers": (streams(b"X: y\r\n", start=b"HTTP/1.0 200 OK\r\n"), "headers", 2),
    "endless redirect": (
        streams(bytes(1 << 16), start=b"HTTP/1.0 302 Go\r\nLocation: /other\r\n\r\n"),
        "more than 434072 bytes came",
        1,
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_refused(site, folder, name):
    answer, says, times = WRONG[name]
    file = site.file("/set", answer)
    with pytest.raises(DataError, match=says) as caught:
        fetch(file, folder, QUICK)
    message = str(caught.value)
    assert f"set.bin could not be downloaded. {site.url}/set: " in message
    assert f"Expected were 300000 bytes with sha256 {SHA256}" in message
    assert "try again" in message
    assert message.isprintable()
    assert len(message) < 900
    assert held(folder) == []
    if times:
        assert site.asked == ["/set"] * times
    assert len(data.digits().x) == 5000  # what ships needs no network


PACKED_WRONG = {
    "page": (
        HTML,
        "is not gzip, it starts with b'<!DOCTYPE html>.*sha256 of its first 537 bytes is [0-9a-f]+",
    ),
    "corrupt": (PACKED[:1000] + bytes([PACKED[1000] ^ 1]) + PACKED[1001:], "sha256"),
    "broken": (
        PACKED[:10] + b"\xff" * 50,
        "the gzip that came is damaged .*sha256 up to there is [0-9a-f]+",
    ),
    "cut": (PACKED[:1000], r"\d+ bytes came, their sha256 is [0-9a-f]{64}"),
    "other": (gzip.compress(CORRUPT), f"their sha256 is {hashlib.sha256(CORRUPT).hexdigest()}"),
    "empty": (b"", "0 bytes came"),
}


@pytest.mark.parametrize("name", PACKED_WRONG)
def test_what_is_wrongly_packed_is_refused(site, folder, name):
    content, says = PACKED_WRONG[name]
    file = site.file("/set", sends(content), gzipped=True)
    with pytest.raises(DataError, match=says) as caught:
        fetch(file, folder, QUICK)
    assert SHA256 in str(caught.value)
    assert held(folder) == []


def test_a_bomb_is_not_unpacked(site, folder):
    bomb = gzip.compress(bytes(100_000_000), 9)
    assert len(bomb) < 100_000
    file = site.file("/set", sends(bomb), content=CONTENT[:1000], gzipped=True)
    tracemalloc.start()
    with pytest.raises(DataError, match=r"more than 1000 bytes came"):
        fetch(file, folder, QUICK)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5_000_000
    assert held(folder) == []


def test_refused_connections(folder):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    file = File("set.bin", (f"http://127.0.0.1:{port}/set",), SHA256, len(CONTENT))
    with pytest.raises(DataError, match=rf"127.0.0.1:{port}/set: ConnectionRefusedError: .*{SHA256}"):
        fetch(file, folder, QUICK)
    assert held(folder) == []


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:,x", "/etc/passwd", "http:///x"]
)
def test_only_the_web_is_asked(folder, url):
    with pytest.raises(DataError, match=r"only http and https are asked|no host"):
        fetch(File("set.bin", (url,), SHA256, 10), folder, QUICK)
    assert held(folder) == []
    with pytest.raises(urllib.error.URLError):  # were it asked all the same
        web.opener(web.Terms(10, time.monotonic() + 1, 1)).open("file:///etc/passwd")


def test_no_redirect_from_https_to_http():
    request = urllib.request.Request("https://a.example/x")
    with pytest.raises(urllib.error.HTTPError, match=r"redirect to http://a.example/x refused") as caught:
        web.Redirect().redirect_request(request, None, 302, "Found", {}, "http://a.example/x")
    caught.value.close()
    assert web.Redirect().redirect_request(request, None, 302, "Found", {}, "https://b.example/x")


# Time


@pytest.mark.parametrize(
    "answer",
    [
        streams(b"x", 0.05, start=b"HTTP/1.0 200 OK\r\nContent-Length: 300000\r\n\r\n"),
        streams(b"X: y\r\n", 0.05, start=b"HTTP/1.0 200 OK\r\n"),
        streams(b"a", 0.05, start=b""),
        streams(b"x", 0.05, start=b"HTTP/1.0 302 Go\r\nLocation: /other\r\n\r\n"),
    ],
    ids=["body", "headers", "status line", "redirect"],
)
def test_a_drip_ends_at_the_deadline(site, folder, answer):
    file = site.file("/set", answer)
    start = time.monotonic()
    with pytest.raises(DataError, match=r"the time for the whole download was up"):
        fetch(file, folder, QUICK._replace(deadline=1.0))
    assert 0.9 < time.monotonic() - start < 20
    assert held(folder) == []


def test_silence_ends_at_the_time_out(site, folder):
    file = site.file("/set", lambda handler: time.sleep(30))
    start = time.monotonic()
    with pytest.raises(DataError, match=r"TimeoutError: timed out"):
        fetch(file, folder, QUICK._replace(timeout=0.3))
    assert 0.6 < time.monotonic() - start < 20  # two rounds
    assert site.asked == ["/set", "/set"]


def test_urls_for_which_no_time_is_left_are_named(site, folder):
    file = site.file("/set", streams(b"x", 0.05))
    file = file._replace(urls=(*file.urls, site.url + "/other"))
    with pytest.raises(DataError, match=r"/other: not asked, since the time was up"):
        fetch(file, folder, QUICK._replace(deadline=0.5))
    assert site.asked == ["/set"]


def test_pauses_double_and_end_at_the_deadline(site, folder, monkeypatch):
    pauses = []
    clock = SimpleNamespace(sleep=pauses.append, monotonic=time.monotonic, time=time.time)
    monkeypatch.setattr(fetching, "time", clock)
    file = site.file("/set", sends(b"", status=503))
    with pytest.raises(DataError):
        fetch(file, folder, Patience(deadline=100, pause=2.0, rounds=4))
    assert pauses == [2, 4, 8]
    with pytest.raises(DataError):
        fetch(file, folder, Patience(deadline=5, pause=100.0, rounds=2))
    assert 0 < pauses[3] <= 5


def test_each_read_has_what_is_left_of_the_time():
    waits = []
    sock = SimpleNamespace(settimeout=waits.append)

    def stream(seconds, timeout):
        terms = web.Terms(100, time.monotonic() + seconds, timeout)
        return web.Limited(io.BytesIO(b"abc"), sock, terms)

    assert stream(1000, 30).readinto(bytearray(2)) == 2
    assert stream(20, 30).readinto(bytearray(2)) == 2
    assert waits[0] == 30
    assert 0 < waits[1] <= 20
    with pytest.raises(TimeoutError):  # though there was something to read
        stream(-1, 30).readinto(bytearray(2))
    assert 0 < waits[2] < 0.01  # none would be for ever


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for 127.0.0.1 that nobody trusts, and its key."""
    if not shutil.which("openssl"):
        pytest.skip("needs the openssl command to make a certificate")
    folder = tmp_path_factory.mktemp("tls")
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *names),
            *("-keyout", folder / "key.pem", "-out", folder / "cert.pem"),
        ],
        check=True,
        capture_output=True,
    )
    return folder


@pytest.fixture
def secure(site, certificate):  # after ``site``, which clears the proxies
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    with Site(context) as secure:
        yield secure
        secure.shutdown()


def test_a_server_that_nobody_vouches_for_is_refused(secure, folder):
    file = secure.file("/set", sends(CONTENT))
    with pytest.raises(DataError, match=r"SSLCertVerificationError.*certificate verify failed"):
        fetch(file, folder, QUICK)
    assert secure.asked == []
    assert held(folder) == []


def test_a_trusted_one_is_not_and_only_by_its_name(secure, folder, certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "cert.pem"))
    file = secure.file("/set", sends(CONTENT))
    assert fetch(file, folder, QUICK).read_bytes() == CONTENT
    other = file._replace(urls=(file.urls[0].replace("127.0.0.1", "localhost"),))
    with pytest.raises(DataError, match=r"SSLCertVerificationError|ConnectionRefused"):
        fetch(other, folder / "other", QUICK)
    secure.routes["/set"] = streams(b"x", 0.05)
    with pytest.raises(DataError, match=r"the time for the whole download was up"):
        fetch(file, folder / "drip", QUICK._replace(deadline=1.0))
    assert held(folder) == ["drip", "other", "set.bin"]


def test_a_server_that_speaks_no_tls(site, folder):
    file = site.file("/set", sends(CONTENT))
    file = file._replace(urls=(file.urls[0].replace("http:", "https:"),))
    with pytest.raises(DataError, match=r"SSLError"):
        fetch(file, folder, QUICK)
    assert held(folder) == []


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
    with pytest.raises(DataError, match=r"set.bin is not in the cache. Download it with download=True"):
        fetching.cached(file, folder, download=False)
    path = fetching.cached(file, folder, download=True)
    assert fetching.cached(file, folder, download=False) == path
    path.write_bytes(CORRUPT)
    found = hashlib.sha256(CORRUPT).hexdigest()
    with pytest.raises(DataError, match=f"set.bin was altered: its sha256 is {found}, expected {SHA256}"):
        fetching.cached(file, folder, download=False)
    site.routes["/set"] = sends(b"", status=404)
    with pytest.raises(DataError, match=r"could not be downloaded"):
        fetching.cached(file, folder, download=True)
    site.routes["/set"] = sends(CONTENT)
    assert fetching.cached(file, folder, download=True).read_bytes() == CONTENT
    assert held(folder) == ["set.bin"]


def test_a_cache_that_cannot_be_written(site, tmp_path, folder, monkeypatch):
    file = site.file("/set", sends(CONTENT))
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match=r"Cannot write .*file.*Set WGANLAB_CACHE"):
        fetch(file, tmp_path / "file" / "cache", QUICK)
    (folder / "set.bin").mkdir(parents=True)
    with pytest.raises(DataError, match=r"Cannot write .*set.bin: Is a directory"):
        fetch(file, folder, QUICK)
    assert held(folder) == ["set.bin"]

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(fetching.os, "fsync", full)
    with pytest.raises(DataError, match=r"No space left on device. .*room for 300000 bytes"):
        fetch(file, folder / "full", QUICK)
    assert held(folder / "full") == []


def test_an_interrupt_leaves_no_part(site, folder, monkeypatch):
    file = site.file("/set", sends(CONTENT))

    def interrupted(url, terms):
        yield CONTENT[:1000]
        raise KeyboardInterrupt

    monkeypatch.setattr(fetching, "body", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fetch(file, folder, QUICK)
    assert held(folder) == []


def slowly(handler):
    sends(b"", length=len(CONTENT))(handler)
    for start in range(0, len(CONTENT), 10_000):
        handler.wfile.write(CONTENT[start : start + 10_000])
        handler.wfile.flush()
        time.sleep(0.02)


def alone(folder, file):
    """A process that fetches ``file``; it has said that it starts."""
    arguments = [folder, file.urls[0], str(file.size), file.sha256]
    process = subprocess.Popen([sys.executable, "-c", ALONE, *arguments], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    return process


def test_four_processes_at_once(site, folder):
    file = site.file("/set", slowly)
    processes = [alone(folder, file) for _ in range(4)]
    answers = [process.communicate(timeout=120)[0].strip() for process in processes]
    assert answers == [str(folder / "set.bin")] * 4
    assert [process.returncode for process in processes] == [0] * 4
    assert (folder / "set.bin").read_bytes() == CONTENT
    assert held(folder) == ["set.bin"]


def test_kills_in_a_download_leave_no_wrong_file(site, folder):
    file = site.file("/set", slowly)
    wait = random.Random(2)
    killed = 0
    for _ in range(8):
        process = alone(folder, file)
        time.sleep(wait.uniform(0.0, 0.7))
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
        if "set.bin" in held(folder):
            assert (folder / "set.bin").read_bytes() == CONTENT
            (folder / "set.bin").unlink()
        killed += process.returncode == -signal.SIGKILL
    assert killed >= 4
    parts = held(folder)
    assert parts
    assert all(name.startswith(".set.bin.") and name.endswith(".part") for name in parts)

    site.routes["/set"] = sends(CONTENT)
    assert fetch(file, folder, QUICK).read_bytes() == CONTENT  # parts may be of living downloads: they stay
    assert held(folder) == [*parts, "set.bin"]
    for name in parts:
        os.utime(folder / name, (time.time() - 61,) * 2)
    young, other = folder / ".set.bin.young.part", folder / ".other.old.part"
    young.write_bytes(b"")
    other.write_bytes(b"")
    os.utime(other, (0, 0))
    fetch(file, folder, QUICK)  # older than any download may take
    assert held(folder) == [".other.old.part", ".set.bin.young.part", "set.bin"]


# The whole way


def test_mnist_from_a_server_through_the_cache(site, tmp_path, monkeypatch):
    x = np.arange(3 * 784, dtype=np.uint32).astype(np.uint8).reshape(3, 28, 28)
    images = b"\0\0\x08\x03" + bytes([0, 0, 0, 3, 0, 0, 0, 28, 0, 0, 0, 28]) + x.tobytes()
    labels = b"\0\0\x08\x01" + bytes([0, 0, 0, 3, 7, 0, 9])
    files = []
    for name, content in (("train-images-idx3-ubyte", images), ("train-labels-idx1-ubyte", labels)):
        file = site.file(f"/{name}.gz", sends(gzip.compress(content)), content=content, gzipped=True)
        files.append(file._replace(name=name))
    monkeypatch.setattr(idx, "TRAIN", tuple(files))
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
    from wganlab.data import cifar

    for file in (*idx.TRAIN, *idx.TEST, cifar.ARCHIVE):
        assert len(file.urls) >= 2
        assert all(url.startswith("https://") and file.name in url for url in file.urls)
        assert len(file.sha256) == 64
        assert file.size > 0


def test_a_fault_knows_whether_it_is_final():
    assert Fault("x", final=True).final
    assert str(Fault("why", final=False)) == "why"
