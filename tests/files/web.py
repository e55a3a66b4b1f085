"""A web server that fails on demand and records its requests and answers."""

from __future__ import annotations

import hashlib
import re
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from foodvision.files.download import RemoteFile


def blob_id(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class Request(BaseHTTPRequestHandler):
    server: Web

    def do_GET(self) -> None:
        web = self.server
        web.ranges.append(self.headers.get("Range"))
        web.if_ranges.append(self.headers.get("If-Range"))
        answer = web.faults.pop(0) if web.faults else honest
        self.close_connection = True
        with suppress(OSError):  # the client has hung up
            answer(self)

    def log_message(self, *_: object) -> None:
        pass

    def head(self, status: int, **headers: object) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def send(self, content: bytes) -> None:
        self.server.sent += len(content)  # counted before the client can receive it and check
        self.wfile.write(content)
        self.wfile.flush()


Fault = Callable[[Request], None]


class Web(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, content: bytes, name: str = "mini.zip") -> None:
        super().__init__(("127.0.0.1", 0), Request)
        self.content = content
        self.etag = '"1"'
        self.faults: list[Fault] = []
        self.ranges: list[str | None] = []
        self.if_ranges: list[str | None] = []
        self.sent = 0
        self.done = threading.Event()  # releases stalled requests
        self.url = f"http://127.0.0.1:{self.server_port}/{name}"
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def file(self, max_bytes: int = 10_000_000) -> RemoteFile:
        return RemoteFile(self.url, "git blob id", blob_id(self.content), max_bytes)

    def stop(self) -> None:
        self.done.set()
        self.shutdown()
        self.server_close()


def honest(request: Request, stop_after: int | None = None) -> None:
    """Answer correctly, or hang up after some bytes."""
    web = request.server
    content, start = web.content, 0
    if asked := re.match(r"bytes=(\d+)-", request.headers.get("Range", "")):
        start = int(asked[1])
        if request.headers.get("If-Range", web.etag) != web.etag:
            start = 0
    if start and start >= len(content):
        return request.head(416, Content_Range=f"bytes */{len(content)}", Content_Length=0)
    headers: dict[str, object] = {"Content_Length": len(content) - start, "ETag": web.etag}
    if start:
        headers["Content_Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
    request.head(206 if start else 200, **headers)
    request.send(content[start:][:stop_after])


def hang_up_after(count: int) -> Fault:
    return lambda request: honest(request, count)


def without_range(request: Request) -> None:
    web = request.server
    request.head(200, Content_Length=len(web.content))
    request.send(web.content)


def other_part(request: Request) -> None:
    web = request.server
    request.head(206, Content_Range=f"bytes 1-9/{len(web.content)}", Content_Length=9)
    request.send(web.content[1:10])


def claims(length: int) -> Fault:
    """Send a wrong Content-Length."""

    def answer(request: Request) -> None:
        request.head(200, Content_Length=length)
        request.send(request.server.content)

    return answer


def wrong_bytes(request: Request) -> None:
    page = b"<html>Please log in to the network.</html>"
    request.head(200, Content_Length=len(page))
    request.send(page)


def status(code: int) -> Fault:
    return lambda request: request.head(code, Content_Length=0)


def redirect(location: str) -> Fault:
    return lambda request: request.head(302, Location=location, Content_Length=0)


def endless(request: Request) -> None:
    request.head(200)
    while not request.server.done.is_set():
        request.send(bytes(1 << 16))


def stall(request: Request) -> None:
    request.head(200, Content_Length=len(request.server.content))
    request.send(request.server.content[:1000])
    request.server.done.wait(5)


def silent(request: Request) -> None:
    request.server.done.wait(5)


def closed_port() -> int:
    """A port without a listener."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def slowly(request: Request) -> None:
    """Answer slowly, so that another request or process can interfere."""
    web = request.server
    request.head(200, Content_Length=len(web.content), ETag=web.etag)
    for start in range(0, len(web.content), 100_000):
        request.send(web.content[start : start + 100_000])
        web.done.wait(0.1)
