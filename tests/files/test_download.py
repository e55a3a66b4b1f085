from __future__ import annotations

import gc
import hashlib
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from foodvision.errors import DataError
from foodvision.files import download
from foodvision.files.download import RemoteFile, downloaded
from foodvision.files.download import fetch as fetch_and_keep
from tests.files.web import (
    Fault,
    Web,
    claims,
    closed_port,
    endless,
    hang_up_after,
    other_part,
    redirect,
    silent,
    slowly,
    stall,
    status,
    without_range,
    wrong_bytes,
)

CONTENT = np.random.default_rng(0).bytes(400_000)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(download, "PAUSES", (0.01,) * 4)
    monkeypatch.setattr(download, "TIMEOUT", 5.0)


@pytest.fixture
def web() -> Iterator[Web]:
    server = Web(CONTENT)
    yield server
    server.stop()


def fetch(file: RemoteFile, folder: Path) -> bytes:
    with downloaded(file, folder) as path:
        return path.read_bytes()


def test_one_request_and_nothing_is_left_behind(web: Web, tmp_path: Path) -> None:
    with downloaded(web.file(), tmp_path) as path:
        assert path.read_bytes() == CONTENT
    assert web.ranges == [None]
    assert list(tmp_path.iterdir()) == []


def test_md5(web: Web, tmp_path: Path) -> None:
    file = RemoteFile(web.url, "MD5", hashlib.md5(CONTENT).hexdigest(), len(CONTENT))
    assert fetch(file, tmp_path) == CONTENT


def test_sha256_prefix(web: Web, tmp_path: Path) -> None:
    digest = hashlib.sha256(CONTENT).hexdigest()[:8]
    file = RemoteFile(web.url, "SHA-256 prefix", digest, len(CONTENT))
    assert fetch(file, tmp_path) == CONTENT
    web.content = CONTENT[::-1]
    with pytest.raises(DataError, match=rf"SHA-256 prefix (?!{digest})\w{{8}}\), which is removed"):
        fetch(file, tmp_path)


def test_a_kept_file_is_fetched_once(web: Web, tmp_path: Path) -> None:
    path = fetch_and_keep(web.file(), tmp_path)
    assert path == fetch_and_keep(web.file(), tmp_path) == tmp_path / "mini.zip"
    assert path.read_bytes() == CONTENT
    assert list(tmp_path.iterdir()) == [path]
    assert len(web.ranges) == 1
    path.write_bytes(CONTENT[:-1])
    with pytest.raises(DataError, match="its git blob id is"):
        fetch_and_keep(web.file(), tmp_path)


def test_concurrent_processes_fetch_a_file_once(web: Web, tmp_path: Path) -> None:
    web.faults = [slowly] * 3
    code = f"""
import logging
from pathlib import Path
from foodvision.files.download import RemoteFile, fetch
logging.basicConfig(format="%(message)s")
fetch({web.file()!r}, Path({str(tmp_path)!r}))
"""
    command = [sys.executable, "-c", code]
    running = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    messages = [process.communicate()[1] for process in running]
    assert [process.returncode for process in running] == [0, 0, 0], messages
    assert (tmp_path / "mini.zip").read_bytes() == CONTENT
    assert [path.name for path in tmp_path.iterdir()] == ["mini.zip"]
    assert len(web.ranges) == 1
    waiting = "mini.zip: another process is fetching it; waiting\n"
    assert sorted(messages) == ["", waiting, waiting]


def test_a_broken_connection_is_resumed(web: Web, tmp_path: Path) -> None:
    web.faults = [hang_up_after(300_000), hang_up_after(50_000)]
    assert fetch(web.file(), tmp_path) == CONTENT
    assert web.ranges == [None, "bytes=300000-", "bytes=350000-"]
    assert web.if_ranges == [None, '"1"', '"1"']
    assert web.sent == len(CONTENT)


def test_the_next_run_resumes_an_unfinished_download(web: Web, tmp_path: Path) -> None:
    web.faults = [hang_up_after(60_000)] * 5
    reason = r"the connection broke off, 5 times \(0.3 MB are kept\); try again, or put the file"
    with pytest.raises(DataError, match=reason):
        fetch(web.file(), tmp_path)
    assert len(web.ranges) == 5
    assert fetch(web.file(), tmp_path) == CONTENT
    assert web.ranges[-1] == "bytes=300000-"
    assert web.sent == len(CONTENT)


def test_a_login_page_does_not_discard_a_partial_download(web: Web, tmp_path: Path) -> None:
    web.faults = [hang_up_after(300_000), wrong_bytes, claims(10**12)]
    with pytest.raises(DataError, match="sends more than"):
        fetch(web.file(), tmp_path)
    assert fetch(web.file(), tmp_path) == CONTENT
    assert web.ranges == [None, *["bytes=300000-"] * 3]


def test_a_complete_file_is_not_sent_again(web: Web, tmp_path: Path) -> None:
    (tmp_path / ".mini.zip.part").write_bytes(CONTENT)
    assert fetch(web.file(), tmp_path) == CONTENT
    assert web.sent == 0


def test_a_partial_file_larger_than_the_servers_is_discarded(web: Web, tmp_path: Path) -> None:
    (tmp_path / ".mini.zip.part").write_bytes(CONTENT + b"x")
    assert fetch(web.file(), tmp_path) == CONTENT


def test_a_file_that_changes_during_the_download_is_fetched_again(web: Web, tmp_path: Path) -> None:
    old = web.content

    def then_change(request: object) -> None:
        hang_up_after(300_000)(request)
        web.content, web.etag = old[::-1], '"2"'

    web.faults = [then_change]
    file = RemoteFile(web.url, "MD5", hashlib.md5(old[::-1]).hexdigest(), len(old))
    assert fetch(file, tmp_path) == old[::-1]


@pytest.mark.parametrize(
    "faults",
    [
        [hang_up_after(300_000), without_range],
        [hang_up_after(300_000), other_part],
        [status(500), status(503), status(429)],
        [stall, silent],
        [claims(len(CONTENT) + 9)],
    ],
    ids=["no range", "another part", "busy", "stalls", "too long a length"],
)
def test_transient_faults_are_retried(
    faults: list[Fault], web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if stall in faults:
        monkeypatch.setattr(download, "TIMEOUT", 0.3)
    web.faults = list(faults)
    assert fetch(web.file(), tmp_path) == CONTENT


@pytest.mark.parametrize(
    ("fault", "requests", "reason"),
    [
        (status(404), 1, r"404 Not Found; try again, or put the file with .*, at most 10.0 MB, at"),
        (status(500), 5, r"the server answered 500 Internal Server Error, 5 times; try"),
        (silent, 5, r"the server was silent for 0.3 s, 5 times; try"),
        (stall, 5, r"the server was silent for 0.3 s, 5 times \(.* MB are kept\); try"),
        (wrong_bytes, 1, r"another file \(42 bytes, git blob id \w{40}\), which is removed; try"),
        (claims(1000), 1, r"sent another file \(1,000 bytes, git blob id \w{40}\)"),
        (claims(10**12), 1, "sends more than the allowed 10.0 MB"),
        (endless, 1, "sends more than the allowed 10.0 MB"),
        (redirect("file:///etc/passwd"), 1, "redirects to an address"),
        (redirect("ftp://127.0.0.1/x"), 1, "redirects to an address"),
    ],
)
def test_faults_are_one_line_and_the_next_try_starts_clean(
    fault: Fault,
    requests: int,
    reason: str,
    web: Web,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    web.faults = [fault] * requests
    with monkeypatch.context() as patch:
        if fault in (stall, silent):
            patch.setattr(download, "TIMEOUT", 0.3)
        with pytest.raises(DataError, match=reason) as caught:
            fetch(web.file(), tmp_path)
    line = str(caught.value)
    assert "\n" not in line
    for part in (web.url, web.file().digest, str(tmp_path / "mini.zip")):
        assert part in line
    assert len(web.ranges) == requests
    assert web.sent < 20_000_000
    assert fetch(web.file(), tmp_path) == CONTENT
    assert list(tmp_path.iterdir()) == []


def test_redirection_on_the_web_is_followed(web: Web, tmp_path: Path) -> None:
    web.faults = [redirect(f"{web.url}?elsewhere")]
    assert fetch(web.file(), tmp_path) == CONTENT
    web.faults = [redirect("/mini.zip")] * 20
    with pytest.raises(DataError, match="redirects to an address"):
        fetch(web.file(), tmp_path)


def test_invalid_redirection(web: Web, tmp_path: Path) -> None:
    web.faults = [redirect("http://[x")] * 5
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # urllib forgets to close here
        with pytest.raises(DataError, match="the connection broke off, 5 times"):
            fetch(web.file(), tmp_path)
        gc.collect()


def test_without_a_network_the_file_can_be_put_there_by_hand(web: Web, tmp_path: Path) -> None:
    file = RemoteFile(
        f"http://127.0.0.1:{closed_port()}/mini.zip", "git blob id", web.file().digest, 10**7
    )
    with pytest.raises(DataError, match=r"cannot be reached \(Connection refused\); try again, or"):
        fetch(file, tmp_path)
    by_hand = tmp_path / "mini.zip"
    by_hand.write_bytes(CONTENT[:-1])
    with pytest.raises(DataError, match=r"mini.zip: its git blob id is \w{40}, not \w{40}; remove"):
        fetch(file, tmp_path)
    by_hand.write_bytes(CONTENT)
    assert fetch(file, tmp_path) == CONTENT
    assert by_hand.exists()  # the file belongs to the user


def test_a_lost_network_is_waited_for(
    web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[Callable[[], None]] = [web.stop, lambda: None]

    def sleep(seconds: float) -> None:
        pauses.pop(0)() if pauses else None

    monkeypatch.setattr(download.time, "sleep", sleep)
    web.faults = [hang_up_after(1000)]
    with pytest.raises(DataError, match=r"cannot be reached \(.*\), 5 times \(0.0 MB are kept\)"):
        fetch(web.file(), tmp_path)


def test_an_interrupted_use_keeps_the_file_for_the_next(web: Web, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), downloaded(web.file(), tmp_path):
        raise KeyboardInterrupt
    assert fetch(web.file(), tmp_path) == CONTENT
    assert len(web.ranges) == 1


def test_a_full_disk_is_reported_before_the_first_request(
    web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=11_000_000))
    reason = "mini.zip needs 12.0 MB of disk space and 11.0 MB are free; make room"
    with (
        pytest.raises(DataError, match=reason),
        downloaded(web.file(), tmp_path, spare_bytes=2_000_000),
    ):
        pass
    assert web.ranges == []
    (tmp_path / ".mini.zip.part").write_bytes(CONTENT)  # 0.4 MB fewer to download
    with downloaded(web.file(), tmp_path, spare_bytes=1_200_000) as path:
        assert path.exists()
