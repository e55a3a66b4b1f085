"""Files at addresses, in fsspec's memory, which stands for a bucket."""

from __future__ import annotations

import re

import fsspec
import pytest

from foodvision.files.remote import RemoteError, is_remote, read_remote, remote_files


@pytest.fixture
def bucket() -> str:
    """With three images, one of them in a folder; a hidden file, and a hidden folder."""
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    for name in ("b.png", "a.png", "day/c.png", ".hidden.png", ".git/d.png"):
        memory.pipe(f"/bucket/{name}", name.encode())
    return "memory://bucket"


def test_only_other_addresses_than_urls_are_remote() -> None:
    assert all(map(is_remote, ("s3://a/b.png", "GS://a", "file:///a", "abfs://a")))
    assert not any(map(is_remote, ("http://a", "HTTPS://a", "a/b.png", "C:\\a", "://a", "-")))
    unbounded = ("zip://a::http://b", "s3://a::http://b", "reference://a::b.json", "ftp://a/b")
    assert not any(map(is_remote, unbounded))


def test_a_folder_and_a_glob_are_listed_in_order(bucket: str) -> None:
    names = [address.removeprefix("memory:///bucket/") for address in remote_files(bucket)]
    assert names == ["a.png", "b.png", "day/c.png"]
    assert list(remote_files(f"{bucket}/*.png"))[-2:] == [
        "memory:///bucket/a.png",
        "memory:///bucket/b.png",
    ]
    assert list(remote_files(f"{bucket}/b.png")) == [f"{bucket}/b.png"]


def test_what_is_listed_can_be_read_within_a_limit(bucket: str) -> None:
    first = next(remote_files(bucket))
    assert (read_remote(first, 99), read_remote(first, 2)) == (b"a.png", b"a.")


def test_the_reason_is_one_line(bucket: str) -> None:
    reasons = {
        f"{bucket}/nosuch.png": "no such file or folder",
        "nosuch://a/b.png": "cannot be read (Protocol not known: nosuch)",
    }
    for address, reason in reasons.items():
        with pytest.raises(RemoteError, match=f"^{re.escape(reason)}$"):
            read_remote(address, 9)
        with pytest.raises(RemoteError, match=f"^{re.escape(reason)}$"):
            next(remote_files(address))
