from __future__ import annotations

import gzip
import io
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from foodvision.errors import DataError
from foodvision.files import archive
from foodvision.files.archive import unpack

NOISE = np.random.default_rng(0).bytes(2000)
ROOM = 1_000_000  # bytes


def zipped(path: Path, *members: tuple[str, bytes, int]) -> Path:
    """Members by name, content and Unix mode."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content, mode in members:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            file.writestr(info, content)
    return path


def tarred(path: Path, *members: tuple[str, bytes, bytes]) -> Path:
    """Members by name, content (for a link: its target) and tarfile's type."""
    with tarfile.open(path, "w:gz") as file:
        for name, content, kind in members:
            info = tarfile.TarInfo(name)
            info.type = kind
            if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
                info.linkname, content = content.decode(), b""
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return path


def files_below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def of_zip(*members: tuple[str, bytes, int]) -> Callable[[Path], Path]:
    return lambda folder: zipped(folder / "a.zip", *members)


def of_tar(*members: tuple[str, bytes, bytes]) -> Callable[[Path], Path]:
    return lambda folder: tarred(folder / "a.tar.gz", *members)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


@pytest.mark.parametrize(
    "make",
    [
        of_zip(
            ("train/", b"", stat.S_IFDIR | 0o755),
            ("train/a/1.jpg", NOISE, 0),
            ("./train/a/2.jpg", NOISE, stat.S_IFREG | 0o4777),
            ("__MACOSX/train/a/._1.jpg", NOISE, 0),
            ("train/.DS_Store", NOISE, 0),
            (".git/config", NOISE, 0),
        ),
        of_tar(
            ("train", b"", tarfile.DIRTYPE),
            ("train/a/1.jpg", NOISE, tarfile.REGTYPE),
            ("./train/a/2.jpg", NOISE, tarfile.AREGTYPE),
            ("train/a/._1.jpg", NOISE, tarfile.REGTYPE),
            (".hidden/2.jpg", NOISE, tarfile.REGTYPE),
        ),
    ],
    ids=["zip", "tar"],
)
def test_plain_files_are_extracted_and_hidden_ones_are_not(
    make: Callable[[Path], Path], tmp_path: Path, out: Path
) -> None:
    unpack(make(tmp_path), out, ROOM, 9)
    assert files_below(out) == ["train", "train/a", "train/a/1.jpg", "train/a/2.jpg"]
    assert (out / "train/a/2.jpg").read_bytes() == NOISE
    assert not (out / "train/a/2.jpg").stat().st_mode & 0o7111  # no setuid, not executable


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (of_zip(("../evil", NOISE, 0)), "leads out of the folder"),
        (of_zip(("a/../../evil", NOISE, 0)), "leads out of the folder"),
        (of_zip(("/evil", NOISE, 0)), "leads out of the folder"),
        (of_zip(("..\\evil", NOISE, 0)), "leads out of the folder"),
        (of_zip(("C:evil", NOISE, 0)), "leads out of the folder"),
        (of_zip(("evil", b"/etc/passwd", stat.S_IFLNK | 0o777)), "is a link or a device"),
        (of_zip(("evil", b"", stat.S_IFIFO | 0o666)), "is a link or a device"),
        (of_zip(("evil", bytes(100_000), 0)), "unpacks to more than"),
        (of_zip(*((f"{i}", b"", 0) for i in range(10))), "more than 9 members"),
        (of_zip(("a/1.jpg", NOISE, 0), ("A/../a/1.jpg", NOISE, 0)), "leads out"),
        (of_zip(("a/1.jpg", NOISE, 0), ("./a/1.jpg", NOISE, 0)), "has 1.jpg twice"),
        (of_zip(("evil" * 64, NOISE, 0)), "is damaged .*too long"),
        (of_zip(("a", NOISE, 0), ("a/b/evil", NOISE, 0)), "is damaged .*Not a directory"),
        (of_tar(("../evil", NOISE, tarfile.REGTYPE)), "leads out of the folder"),
        (of_tar(("/evil", NOISE, tarfile.REGTYPE)), "leads out of the folder"),
        (of_tar(("evil", b"/etc/passwd", tarfile.SYMTYPE)), "is a link or a device"),
        (of_tar(("evil", b"../evil", tarfile.LNKTYPE)), "is a link or a device"),
        (of_tar(("evil", b"", tarfile.CHRTYPE)), "is a link or a device"),
        (of_tar(("evil", b"", tarfile.FIFOTYPE)), "is a link or a device"),
        (of_tar(("evil", bytes(100_000), tarfile.REGTYPE)), "unpacks to more than"),
    ],
)
def test_hostile_archives_are_refused(
    make: Callable[[Path], Path], reason: str, tmp_path: Path, out: Path
) -> None:
    with pytest.raises(DataError, match=reason):
        unpack(make(tmp_path), out, ROOM, 9)
    assert not any("evil" in name for name in files_below(tmp_path))


def test_size_is_bounded_whatever_the_ratio(tmp_path: Path, out: Path) -> None:
    path = zipped(tmp_path / "a.zip", ("1", NOISE, 0), ("2", NOISE, 0))
    with pytest.raises(DataError, match=r"more than 9 members or 0.0 MB"):
        unpack(path, out, 3999, 9)
    unpack(path, tmp_path / "other", 4000, 9)


def test_a_tar_cannot_understate_its_size(tmp_path: Path, out: Path) -> None:
    header = tarfile.TarInfo("huge")
    header.size = 1 << 40
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(header.tobuf() + NOISE))
    with pytest.raises(DataError, match="unpacks to more than"):
        unpack(tmp_path / "a.tar.gz", out, ROOM, 9)


@pytest.mark.parametrize("kind", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_tar_cannot_make_a_name_fill_the_memory(kind: int, tmp_path: Path, out: Path) -> None:
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz", format=kind) as file:
        file.addfile(tarfile.TarInfo("evil" * 10**6))
    assert (tmp_path / "a.tar.gz").stat().st_size < 20_000
    with pytest.raises(DataError, match=r"is damaged \(a header of 4,"):
        unpack(tmp_path / "a.tar.gz", out, ROOM, 9)


@pytest.mark.parametrize("make", [of_zip, of_tar], ids=["zip", "tar"])
def test_damaged_archives_are_one_clear_error(
    make: Callable[..., Callable[[Path], Path]],
    tmp_path: Path,
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kind = 0 if make is of_zip else tarfile.REGTYPE
    path = make(("1.jpg", NOISE, kind), ("2.jpg", NOISE, kind))(tmp_path)
    whole = path.read_bytes()
    monkeypatch.setattr(archive, "MAX_RATIO", 1000)
    for damaged in (whole[:1500], whole[:50] + bytes(9) + whole[59:], b"", b"no archive"):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"is damaged|unpacks to more") as caught:
            unpack(path, out, ROOM, 9)
        assert "\n" not in str(caught.value)
        for left in out.iterdir():
            left.unlink()


def test_an_offset_before_the_beginning_is_damage(tmp_path: Path, out: Path) -> None:
    path = zipped(tmp_path / "a.zip", ("1.jpg", NOISE, 0))
    content = bytearray(path.read_bytes())
    start = content.rindex(b"PK\5\6") + 16  # of the directory, in its last record
    content[start : start + 4] = (
        int.from_bytes(content[start : start + 4], "little") + 9
    ).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(DataError, match="is damaged"):
        unpack(path, out, ROOM, 9)
