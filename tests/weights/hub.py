"""A local Hugging Face Hub with one repository, which can hang up in the middle of a file."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Request(BaseHTTPRequestHandler):
    """Answers the three requests of `snapshot_download`: the commit, the file list, the content."""

    server: Hub

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        hub = self.server
        with suppress(OSError):  # the client has hung up
            if path in (f"/api/models/{hub.name}", f"/api/models/{hub.name}/revision/main"):
                self.answer_json({"id": hub.name, "modelId": hub.name, "sha": COMMIT})
            elif path == f"/api/models/{hub.name}/tree/{COMMIT}":
                self.answer_json([hub.describe(name) for name in hub.files])
            elif path.startswith(f"/{hub.name}/resolve/"):
                self.answer_file(path.rsplit("/", 1)[-1])
            else:
                self.answer(404, b"")

    def log_message(self, *_: object) -> None:
        pass

    def answer_json(self, content: object) -> None:
        self.answer(200, json.dumps(content).encode(), Content_Type="application/json")

    def answer_file(self, name: str) -> None:
        hub = self.server
        content, start = hub.files[name], 0
        if asked := re.match(r"bytes=(\d+)-", self.headers.get("Range", "")):
            start = int(asked[1])
        if self.command == "GET":
            hub.asked.append((name, start))
        hub_headers = {"ETag": f'"{hub.etag(name)}"', "X-Repo-Commit": COMMIT}
        if start:
            hub_headers["Content_Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self.answer(206 if start else 200, content[start:], **hub_headers)

    def answer(self, status: int, content: bytes, **headers: str) -> None:
        self.close_connection = True
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command == "GET":
            stop_after = None
            if len(content) > 100_000 and self.server.hang_up_after:
                stop_after = self.server.hang_up_after.pop(0)
            self.wfile.write(content[:stop_after])


class Hub(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, name: str, files: Mapping[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), Request)
        self.name, self.files = name, dict(files)
        self.etags = {file: self._digest(file) for file in files}
        self.hang_up_after: list[int] = []
        self.asked: list[tuple[str, int]] = []  # file and first byte
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def _digest(self, name: str) -> str:
        """Large files are identified by their SHA-256, small ones by git's blob id."""
        content = self.files[name]
        if name.endswith(".safetensors"):
            return hashlib.sha256(content).hexdigest()
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()

    def etag(self, name: str) -> str:
        return self.etags[name]

    def describe(self, name: str) -> dict[str, object]:
        size, digest = len(self.files[name]), self.etags[name]
        entry: dict[str, object] = {"type": "file", "path": name, "size": size, "oid": digest}
        if len(digest) == 64:
            entry |= {"oid": COMMIT, "lfs": {"oid": digest, "size": size, "pointerSize": 134}}
        return entry

    def stop(self) -> None:
        self.shutdown()
        self.server_close()
