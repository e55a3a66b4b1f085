"""A local Hugging Face Hub that creates and fills repositories as the real one does.

It knows what huggingface_hub 2.4 sends: it refuses what it does not expect, checks every LFS object
against its SHA-256, and can fail on demand.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import yaml

TOKEN = "hf_write"
LARGE = 20_000
"""Bytes from which a file is sent by LFS; the Hub looks at content and .gitattributes."""


@dataclass
class Repository:
    created: dict[str, Any]
    files: dict[str, bytes] = field(default_factory=dict)
    commits: int = 0

    @property
    def sha(self) -> str:
        return f"{self.commits:040x}"

    @property
    def header(self) -> dict[str, Any]:
        return read_header(self.files.get("README.md", b"").decode())


def read_header(card: str) -> dict[str, Any]:
    parts = card.split("---\n")
    header: dict[str, Any] = yaml.safe_load(parts[1]) if len(parts) > 2 else {}
    return header


class Request(BaseHTTPRequestHandler):
    server: Hub

    def do_GET(self) -> None:
        with suppress(OSError):  # the client has hung up
            self.route(b"")

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        self.do_PUT()

    def do_PUT(self) -> None:
        hub, length = self.server, int(self.headers.get("Content-Length", 0))
        with suppress(OSError):
            if self.path.startswith("/upload/") and hub.lost_after is not None:
                self.rfile.read(min(length, hub.lost_after))
                hub.lost_after = None if hub.lost_times == 1 else hub.lost_after
                hub.lost_times -= 1
                self.close_connection = True
                return
            self.route(self.rfile.read(length))

    def route(self, body: bytes) -> None:
        hub, path = self.server, self.path.partition("?")[0]
        hub.asked.append(f"{self.command} {path}")
        if path.startswith("/upload/"):
            return self.upload(path.rsplit("/", 1)[-1], body)
        if path == "/running":
            return self.answer(200, b"<html>")
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.answer(401, {"error": "Invalid username or password."})
        content = json.loads(body) if body and "/commit/" not in path else {}
        if path == "/api/whoami-v2":
            return self.answer(200, hub.account)
        if path == "/api/spaces":
            runtime = {"stage": "RUNNING", "hardware": {"current": "zero-a10g"}}
            some = [{"id": f"me/{i}", "runtime": runtime} for i in range(hub.zerogpu)]
            return self.answer(200, some)
        if path == "/api/repos/create":
            return self.create(content)
        if path == "/api/validate-yaml":
            return self.validate(content)
        if path.endswith(".git/info/lfs/objects/batch"):
            return self.lfs_batch(content)
        if "/resolve/" in path:
            return self.download(path)
        kind, _, name = path.removeprefix("/api/").partition("/")
        name, _, action = _split(name)
        repository = hub.repositories.get(f"{kind}/{name}")
        if repository is None:
            return self.answer(404, {"error": "none"}, X_Error_Code="RepoNotFound")
        if not action or action == "revision/main":
            return self.answer(200, self.describe(name, kind, repository))
        if action == "preupload/main":
            return self.preupload(repository, content)
        if action == "commit/main":
            return self.commit(repository, body)
        if action.startswith("tree/"):
            files = [
                {"type": "file", "path": p, "size": len(c), "oid": _blob(c)}
                for p, c in repository.files.items()
            ]
            return self.answer(200, files)
        if action == "runtime":
            return self.answer(200, hub.next_runtime(repository))
        if action.startswith("logs/"):
            lines = [
                {"data": f"{line}\n", "timestamp": "2026-11-26T12:00:00.000Z"} for line in hub.log
            ]
            text = "".join(f"data: {json.dumps(line)}\n\n" for line in lines)
            return self.answer(200, text.encode())
        return self.answer(501, {"error": f"not expected: {self.path}"})

    def create(self, content: dict[str, Any]) -> None:
        hub, kind = self.server, f"{content.get('type') or 'model'}s"
        name = f"{content['organization']}/{content['name']}"
        if kind == "spaces" and content["sdk"] != "static" and hub.refuses_compute(content):
            message = (
                "Static Spaces are free for everyone, but hosting Gradio and Docker Spaces on free "
                "cpu-basic requires a PRO subscription."
            )
            return self.answer(402, {"error": message})
        if f"{kind}/{name}" in hub.hidden | set(hub.repositories):
            return self.answer(409, {"error": "You already created this repo"})
        hub.repositories[f"{kind}/{name}"] = Repository(content, {".gitattributes": b"*"})
        return self.answer(200, {"url": f"{hub.url}/{name}", "name": name})

    def validate(self, content: dict[str, Any]) -> None:
        header = read_header(content["content"])
        if len(header.get("short_description", "")) > 60:
            errors = [{"message": '"short_description" length must be at most 60'}]
            return self.answer(400, {"errors": errors, "warnings": []})
        return self.answer(200, {"errors": [], "warnings": []})

    def preupload(self, repository: Repository, content: dict[str, Any]) -> None:
        files = []
        for file in content["files"]:
            mode = "lfs" if file["size"] >= LARGE else "regular"
            entry = {"path": file["path"], "uploadMode": mode, "shouldIgnore": False}
            files.append(entry)
        self.answer(200, {"files": files})

    def lfs_batch(self, content: dict[str, Any]) -> None:
        hub, objects = self.server, []
        for wanted in content["objects"]:
            entry = {"oid": wanted["oid"], "size": wanted["size"]}
            if wanted["oid"] not in hub.objects:
                href = f"{hub.url}/upload/{wanted['oid']}"
                entry["actions"] = {"upload": {"href": href, "header": {}}}
            objects.append(entry)
        self.answer(200, {"transfer": "basic", "objects": objects})

    def upload(self, digest: str, body: bytes) -> None:
        assert hashlib.sha256(body).hexdigest() == digest
        self.server.objects[digest] = body
        self.answer(200, {})

    def commit(self, repository: Repository, body: bytes) -> None:
        files = dict(repository.files)
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                assert value["encoding"] == "base64"
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.server.objects[value["oid"]]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        repository.files, repository.commits = files, repository.commits + 1
        url = f"https://huggingface.co/spaces/me/it/commit/{repository.sha}"
        self.answer(200, {"commitUrl": url, "commitOid": repository.sha})

    def download(self, path: str) -> None:
        name, _, action = _split(path.removeprefix("/"))
        _, commit, file = action.split("/", 2)
        content = self.server.repositories[f"models/{name}"].files[file]
        self.answer(200, content, ETag=f'"{_blob(content)}"', X_Repo_Commit=commit)

    def describe(self, name: str, kind: str, repository: Repository) -> dict[str, Any]:
        header = repository.header
        return {
            "id": name,
            "sha": repository.sha,
            "tags": header.get("tags", []),
            "cardData": header,
            "sdk": repository.created.get("sdk"),
            "runtime": {
                "stage": "RUNNING",
                "hardware": {"current": None, "requested": repository.created.get("hardware")},
            },
            "siblings": [{"rfilename": path} for path in repository.files],
            "host": f"{self.server.url}/running",
        }

    def answer(self, status: int, content: object, **headers: str) -> None:
        text = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.close_connection = True
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        pass


class Hub(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Request)
        self.account: dict[str, Any] = {
            "type": "user",
            "name": "me",
            "isPro": False,
            "emailVerified": True,
            "orgs": [{"name": "firm", "plan": "team"}],
            "auth": {"accessToken": {"role": "write"}},
        }
        self.repositories: dict[str, Repository] = {}
        self.hidden: set[str] = set()  # names that the account cannot see
        self.objects: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.zerogpu = 0  # Spaces that the account has
        self.stages: list[str] = ["BUILDING", "APP_STARTING", "RUNNING"]
        self.log: list[str] = []
        self.lost_after: int | None = None  # bytes of an upload, then the connection is cut
        self.lost_times = 0
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def refuses_compute(self, content: dict[str, Any]) -> bool:
        return content.get("hardware") != "zero-a10g" and not self.account["isPro"]

    def next_runtime(self, repository: Repository) -> dict[str, Any]:
        stage = self.stages.pop(0) if len(self.stages) > 1 else self.stages[0]
        return {"stage": stage, "hardware": {"current": None}, "sha": repository.sha}

    def stop(self) -> None:
        self.shutdown()
        self.server_close()


def _split(path: str) -> tuple[str, str, str]:
    """OWNER/NAME/ACTION as OWNER/NAME and ACTION."""
    owner, _, rest = path.partition("/")
    name, slash, action = rest.partition("/")
    return f"{owner}/{name}", slash, action


def _blob(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
