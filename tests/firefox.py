"""Firefox without a window, worked over WebDriver BiDi, the protocol that it speaks itself.

`Firefox` starts a program with a profile of its own and ends it; `tab` is what `test_browser.tab` is for
Chromium, with the few methods of a page that the checks of the book and of the lab use. What the protocol
cannot do is done at the start: the colour scheme is a setting of the profile.
"""

import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

PROGRAMS = ("firefox-esr", "firefox")
EVENTS = ("log.entryAdded", "network.beforeRequestSent", "network.fetchError", "network.responseCompleted")
# No request leaves this machine: a proxy at a port where nobody listens, for all but 127.0.0.1.
PREFERENCES = {
    "network.proxy.type": 1,
    "network.proxy.http": "127.0.0.1",
    "network.proxy.http_port": 9,
    "network.proxy.ssl": "127.0.0.1",
    "network.proxy.ssl_port": 9,
}
SCHEMES = {"dark": 0, "light": 1}
PATIENCE = 120  # seconds: a busy machine is slow, not wrong


class FirefoxError(Exception):
    """Firefox did not start, or refused a command."""


def firefox():
    """The path of an installed Firefox, or None."""
    return os.environ.get("FIREFOX") or next(filter(None, map(shutil.which, PROGRAMS)), None)


class Socket:
    """Texts over a WebSocket (RFC 6455)."""

    def __init__(self, port, path):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self.stream = self.socket.makefile("rb")
        self.socket.sendall(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: d2dhbmxhYi1maXJlZm94IQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        answer = self.stream.readline()
        if b" 101 " not in answer:
            raise FirefoxError(f"Firefox answered {answer!r} where 101 was expected.")
        while self.stream.readline().strip():
            pass

    def send(self, payload, opcode=1):
        size = len(payload)
        kind, width = (size, 0) if size < 126 else (126, 2) if size < 1 << 16 else (127, 8)
        length = bytes([0x80 | kind]) + (size.to_bytes(width, "big") if width else b"")
        self.socket.sendall(bytes([0x80 | opcode]) + length + 4 * b"*" + bytes(byte ^ 42 for byte in payload))

    def receive(self):
        parts = []
        while True:
            first, size = self.read(2)
            if size > 125:
                size = int.from_bytes(self.read(2 if size == 126 else 8), "big")
            payload, opcode = self.read(size), first & 15
            if opcode == 9:
                self.send(payload, 10)
            elif opcode < 3:
                parts.append(payload)
                if first & 0x80:
                    return b"".join(parts)

    def read(self, size):
        found = self.stream.read(size)
        if len(found) < size:
            raise FirefoxError("Firefox has closed the connection.")
        return found

    def close(self):
        self.stream.close()
        self.socket.close()


class Firefox:
    """A Firefox in the colour scheme "light" or "dark"; use it in a `with` statement."""

    def __init__(self, program, scheme="light"):
        self.program, self.scheme, self.number, self.listeners = program, scheme, 0, []

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="firefox-", ignore_cleanup_errors=True)
        profile, log = Path(self.folder.name) / "profile", Path(self.folder.name) / "log"
        profile.mkdir()
        preferences = PREFERENCES | {"layout.css.prefers-color-scheme.content-override": SCHEMES[self.scheme]}
        lines = [
            f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in preferences.items()
        ]
        (profile / "user.js").write_text("\n".join(lines), encoding="utf-8")
        command = [self.program, "--headless", "--no-remote", "--profile", profile]
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [*command, "--remote-debugging-port", "0", "about:blank"],
                stdout=output,
                stderr=output,
                env=os.environ | {"HOME": self.folder.name, "MOZ_CRASHREPORTER_DISABLE": "1"},
            )
        try:
            self.socket = Socket(self.port(log), "/session")
            found = self.command("session.new", capabilities={})["capabilities"]
            self.version = found["browserVersion"]
            self.command("session.subscribe", events=list(EVENTS))
        except BaseException:
            self.__exit__()
            raise
        return self

    def port(self, log):
        """The port that Firefox says it listens at."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and self.process.poll() is None:
            _, found, rest = log.read_text(encoding="utf-8", errors="replace").partition(
                "BiDi listening on ws://"
            )
            if found and "\n" in rest:
                return int(rest.split("\n")[0].rpartition(":")[2])
            time.sleep(0.05)
        raise FirefoxError(
            f"Firefox did not start: {log.read_text(encoding='utf-8', errors='replace')[-2000:]}"
        )

    def __exit__(self, *_):
        if hasattr(self, "socket"):
            self.socket.close()
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.folder.cleanup()

    def command(self, method, **parameters):
        """The result of a command; events that come before it go to the listeners."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        self.socket.send(json.dumps(message).encode())
        while True:
            answer = json.loads(self.socket.receive())
            if answer["type"] == "event":
                for listener in self.listeners:
                    listener(answer["method"], answer["params"])
            elif answer.get("id") == self.number:
                if answer["type"] == "error":
                    raise FirefoxError(f"{method}: {answer['error']}: {answer['message']}")
                return answer["result"]


class Page:
    """A page: of the methods of Playwright's page those that are needed."""

    def __init__(self, firefox):
        self.firefox = firefox
        # a window, not a tab: a tab behind another one rests
        self.context = firefox.command("browsingContext.create", type="window")["context"]

    def goto(self, address, wait_until="load"):
        wait = {"load": "complete"}[wait_until]
        self.firefox.command("browsingContext.navigate", context=self.context, url=address, wait=wait)

    def run(self, script):
        """The value of an expression or of a promise of it, a text."""
        target = {"context": self.context}
        done = self.firefox.command("script.evaluate", expression=script, target=target, awaitPromise=True)
        if done["type"] == "exception":
            raise FirefoxError(done["exceptionDetails"]["text"])
        return done["result"].get("value")

    def evaluate(self, script, *arguments):
        """What Playwright's `evaluate` gives: an expression's value, or a function's of the arguments."""
        given = ", ".join(map(json.dumps, arguments))
        call = f"(async () => {{ let v = ({script}\n); if (v instanceof Function) v = v({given}); "
        return json.loads(self.run(f"{call}return JSON.stringify(await v ?? null); }})()"))

    def wait_for_timeout(self, milliseconds):
        """Wait; what happens meanwhile is heard at the next command."""
        time.sleep(milliseconds / 1000)

    def set_viewport_size(self, size, scale=None):
        more = {"devicePixelRatio": scale} if scale else {}
        self.firefox.command("browsingContext.setViewport", context=self.context, viewport=size, **more)

    def emulate_media(self, color_scheme):
        if color_scheme != self.firefox.scheme:
            raise FirefoxError(f"This Firefox was started for {self.firefox.scheme}, not for {color_scheme}.")

    def on(self, event, action):
        """Call `action` with each request, which has a `url`; no other event is known here."""
        method = {"request": "network.beforeRequestSent"}[event]
        self.firefox.listeners.append(
            lambda name, of: name == method and action(SimpleNamespace(url=of["request"]["url"]))
        )

    def close(self):
        self.firefox.command("browsingContext.close", context=self.context)


def fault(base, method, event):
    """What is wrong with an event, or None."""
    if method == "log.entryAdded" and event["level"] == "error":
        kind = "console" if event["type"] == "console" else "script"
        return f"{kind}: {event['text'].removeprefix('Error: ')}"
    url = event.get("request", {}).get("url", "")
    if method == "network.beforeRequestSent" and not url.startswith((base, "data:", "blob:", "about:")):
        return f"request to the outside: {url}"
    # NS_BINDING_ABORTED is a request that the next page overtook
    if method == "network.fetchError" and event["errorText"] != "NS_BINDING_ABORTED":
        return f"failed request ({event['errorText']}): {url}"
    if method == "network.responseCompleted" and event["response"]["status"] >= 400:
        return f"{event['response']['status']}: {url}"
    return None


@contextmanager
def tab(browser, base, mode):
    """A page with the `viewport`, `color_scheme` and scale of `mode`, and the list that its faults go to."""
    page, faults, before = Page(browser), [], list(browser.listeners)

    def listen(method, event):
        if found := fault(base, method, event):
            faults.append(found)

    browser.listeners.append(listen)
    try:
        page.emulate_media(mode["color_scheme"])
        page.set_viewport_size(mode["viewport"], mode.get("device_scale_factor", 1))
        yield page, faults
    finally:
        browser.listeners[:] = before
    page.close()
