"""Run a page's commands as they are written, but for what only the network or hours could give."""

from __future__ import annotations

import re
import shlex
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import sleep  # the local Hub's fixture replaces time.sleep

import pytest

from foodvision import cli

ROOT = Path(__file__).parents[2]

REPLACED = {
    r"(torchvision|timm|hub):[\w./-]+": "weights",
    r"\bOWNER/": "me/",
    r"\bfoodvision caption ": "foodvision caption --model blip ",
    r"\bfoodvision caption-app\b": "foodvision caption-app blip",
    r"Salesforce/[\w-]+": "blip",
}
"""What a network or hours would be needed for, and what stands in for it."""


class Shell:
    """Commands in the current folder; `foodvision` runs in this process, as torch is here."""

    def __init__(self, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.capfd = capfd
        self.monkeypatch = monkeypatch
        self.servers: list[subprocess.Popen[bytes]] = []
        self.ports: dict[str, str] = {}

    def replace(self, text: str) -> str:
        """The text with stand-ins."""
        for pattern, stand_in in REPLACED.items():
            text = re.sub(pattern, stand_in, text)
        text = re.sub(r"\b(epochs ?= ?)(\d+)", lambda found: found[1] + _tenth(found[2]), text)
        for port in ("7860", "8000"):
            text = re.sub(rf"\b{port}\b", lambda found: self._port(found[0]), text)
        return text

    def run(self, command: str) -> tuple[int, str]:
        """The exit code and all that was printed."""
        if is_setup(command):
            return 0, ""
        command = self.replace(command)
        if re.match(r"foodvision (app|caption-app)\b", command) and "--help" not in command:
            self.serve(f"{command} --no-browser --port {self._port('7860')}", "7860")
            return 0, ""
        if command.endswith(" &"):
            self.serve(command.removesuffix(" &"), "8000")
            return 0, ""
        if found := re.fullmatch(r"foodvision ([^|<>&;$*\n]+)(?: > (\S+))?", command):
            code, out, err = self._run_here(shlex.split(found[1]))
            if found[2]:
                Path(found[2]).write_text(out)
            return code, err + out
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-ec", command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return done.returncode, done.stdout

    def serve(self, command: str, port: str) -> None:
        """Start it, and wait until it listens."""
        server = subprocess.Popen(shlex.split(command), stderr=subprocess.STDOUT)
        self.servers.append(server)
        for _ in range(600):
            assert server.poll() is None, f"{command}: has ended with {server.returncode}"
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", int(self._port(port)))) == 0:
                    return
            sleep(0.1)
        raise AssertionError(f"{command}: does not listen")

    def stop(self) -> None:
        """End what was started."""
        for server in self.servers:
            server.terminate()
            server.wait()

    def _run_here(self, words: list[str]) -> tuple[int, str, str]:
        self.monkeypatch.setattr(sys, "argv", ["foodvision", *words])
        self.capfd.readouterr()
        try:
            cli.main()
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 1 if stop.code else 0
            if isinstance(stop.code, str):
                print(stop.code, file=sys.stderr)  # as the interpreter does at exit
        return code, *self.capfd.readouterr()

    def _port(self, written: str) -> str:
        if written not in self.ports:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                self.ports[written] = str(free.getsockname()[1])
        return self.ports[written]


@contextmanager
def shell(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    """A shell whose servers end with it."""
    it = Shell(capfd, monkeypatch)
    try:
        yield it
    finally:
        it.stop()


def _tenth(number: str) -> str:
    return str(max(1, int(number) // 10))


def is_setup(command: str) -> bool:
    """What `make docs` has done already; that it exists is checked."""
    words = shlex.split(command, comments=True)
    if words[0] == "make":
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE), command
        return True
    if words[:2] == ["pip", "install"]:
        extras = re.findall(r"foodvision\[(.*)\]", command)
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        for extra in (name for names in extras for name in names.split(",")):
            assert extra in project["optional-dependencies"], command
        return True
    return words[0] in (".", "cd") or words[:3] == ["hf", "auth", "login"]
