"""What a server answers, within bounds: no drip can hold us, no flood fill us, no redirect lead us astray.

The time and the bytes are bounded where they come in, at the socket, so that status lines, headers
and the bodies of redirects count too. Certificates are verified. Only http and https are spoken.
"""

import http.client
import io
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import urlsplit

CHUNK = 1 << 18  # bytes read at once


class Terms(NamedTuple):
    """What one answer may cost: bytes in all, the moment by which it must be whole, seconds for one read."""

    limit: int
    until: float
    timeout: float


class Fault(Exception):
    """Why an url did not give the file; ``final`` if asking it again would not help."""

    def __init__(self, reason: str, *, final: bool):
        line = " ".join("".join(c if c.isprintable() else " " for c in reason).split())
        super().__init__(line[:300])  # a server's words may be many, and hold a terminal's commands
        self.final = final


def body(url: str, terms: Terms) -> Iterator[bytes]:
    """What an url answers, in chunks; raises ``Fault``."""
    if urlsplit(url).scheme not in ("http", "https"):
        raise Fault("only http and https are asked", final=True)
    request = urllib.request.Request(url, headers={"User-Agent": "wganlab"})
    try:
        with opener(terms).open(request, timeout=terms.timeout) as response:
            while chunk := response.read(CHUNK):
                yield chunk
    except urllib.error.HTTPError as error:
        error.close()
        passing = error.code >= 500 or error.code in (408, 425, 429)
        raise Fault(f"HTTP {error.code} {error.reason}", final=not passing) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        if time.monotonic() >= terms.until:
            raise Fault("the time for the whole download was up", final=True) from error
        reason = getattr(error, "reason", error)
        raise Fault(f"{type(reason).__name__}: {reason}", final=isinstance(reason, ssl.SSLError)) from error


class Limited(io.RawIOBase):
    """What a socket receives, headers too, within ``Terms``: no drip can hold us, no flood fill us."""

    def __init__(self, raw: io.RawIOBase, sock, terms: Terms):
        self.raw, self.sock, self.terms, self.count = raw, sock, terms, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int | None:
        left = max(0.001, self.terms.until - time.monotonic())
        if self.count > self.terms.limit:
            raise Fault(f"more than {self.terms.limit} bytes came", final=True)
        self.sock.settimeout(min(self.terms.timeout, left))
        count = self.raw.readinto(buffer)
        self.count += count or 0
        if time.monotonic() >= self.terms.until:
            raise TimeoutError
        return count

    def close(self) -> None:
        self.raw.close()
        super().close()


class Web(urllib.request.AbstractHTTPHandler):
    """http and https (certificates verified), each answer within ``Terms``."""

    def __init__(self, terms: Terms):
        super().__init__()
        self.terms = terms

    def respond(self, sock, debuglevel=0, method=None, url=None) -> http.client.HTTPResponse:
        response = http.client.HTTPResponse(sock, debuglevel, method, url)
        response.fp = io.BufferedReader(Limited(response.fp.detach(), sock, self.terms))
        return response

    def connect(self, host, timeout, context=None) -> http.client.HTTPConnection:
        left = max(0.001, min(timeout, self.terms.until - time.monotonic()))
        if context:
            connection = http.client.HTTPSConnection(host, timeout=left, context=context)
        else:
            connection = http.client.HTTPConnection(host, timeout=left)
        connection.response_class = self.respond
        return connection

    def http_open(self, request):
        return self.do_open(self.connect, request)

    def https_open(self, request):
        return self.do_open(self.connect, request, context=ssl.create_default_context())

    http_request = https_request = urllib.request.AbstractHTTPHandler.do_request_


class Redirect(urllib.request.HTTPRedirectHandler):
    """Five redirects at most, to http or https, and never from https to http."""

    max_redirections = 5

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        scheme = urlsplit(newurl).scheme
        if scheme not in ("http", "https") or (req.type, scheme) == ("https", "http"):
            raise urllib.error.HTTPError(newurl, code, f"redirect to {newurl} refused", headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def opener(terms: Terms) -> urllib.request.OpenerDirector:
    """An opener that knows http and https only: none for file, ftp or data."""
    director = urllib.request.OpenerDirector()
    for handler in (
        *(urllib.request.ProxyHandler(), urllib.request.UnknownHandler(), Web(terms), Redirect()),
        *(urllib.request.HTTPDefaultErrorHandler(), urllib.request.HTTPErrorProcessor()),
    ):
        director.add_handler(handler)
    return director
