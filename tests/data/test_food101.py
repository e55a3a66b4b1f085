from __future__ import annotations

import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from foodvision.data import food101, get_data, load_dataset
from foodvision.data.food101 import CLASSES, Release, cut_mini
from foodvision.errors import DataError
from foodvision.files import archive, download
from foodvision.files.download import RemoteFile
from tests.files.web import Web, closed_port, hang_up_after, wrong_bytes


def jpeg(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG")
    return buffer.getvalue()


def mini_zip(train: int = 4, test: int = 2) -> bytes:
    """Like the course's: train and test at the top, and the files that macOS adds."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for split, count in (("train", train), ("test", test)):
            for label in CLASSES:
                for i in range(count):
                    file.writestr(f"{split}/{label}/{i}.jpg", jpeg(i))
        file.writestr("__MACOSX/train/pizza/._0.jpg", b"x")
        file.writestr("train/.DS_Store", b"x")
    return buffer.getvalue()


def big_tar(
    missing: str = "", unlisted: str = "", lists: tuple[str, ...] = ("train", "test")
) -> bytes:
    """Like the authors': food-101/images and food-101/meta, with the lists after the images."""
    names = [f"{label}/{i}" for label in ("apple_pie", "waffles") for i in range(4)]
    members = {f"images/{name}.jpg": jpeg(i) for i, name in enumerate(names) if name != missing}
    if unlisted:
        members[f"images/{unlisted}.jpg"] = jpeg(99)
    for split, chosen in (("train", "012"), ("test", "3")):
        if split in lists:
            listed = {
                label: [name for name in names if name.startswith(label) and name[-1] in chosen]
                for label in ("apple_pie", "waffles")
            }
            members[f"meta/{split}.json"] = json.dumps(listed).encode()
    members["meta/classes.txt"] = b"apple_pie\nwaffles\n"
    members["license_agreement.txt"] = b"The licence."
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as file:
        for name, content in members.items():
            info = tarfile.TarInfo(f"food-101/{name}")
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(download, "PAUSES", (0.01,) * 4)


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    """Serve a small version of mini."""
    server = Web(mini_zip())
    serve(monkeypatch, server, "mini")
    yield server
    server.stop()


def serve(monkeypatch: pytest.MonkeyPatch, web: Web, name: str) -> None:
    file = web.file()
    if name == "big":
        file = RemoteFile(web.url, "MD5", hashlib.md5(web.content).hexdigest(), 10_000_000)
    monkeypatch.setitem(food101.RELEASES, name, Release(file, 10_000_000, 100))


def counts(folder: Path) -> dict[str, dict[str, int]]:
    return {split: p.counts() for split, p in load_dataset(folder).splits.items()}


def test_mini(web: Web, tmp_path: Path) -> None:
    out = tmp_path / "data" / "mini"
    get_data("mini", out)
    assert counts(out) == {"train": dict.fromkeys(CLASSES, 4), "test": dict.fromkeys(CLASSES, 2)}
    assert [path.name for path in out.parent.iterdir()] == ["mini"]
    assert sorted(path.name for path in out.iterdir()) == ["test", "train"]
    assert out.stat().st_mode & 0o777 == 0o755
    with pytest.raises(DataError, match="mini: is not empty"):
        get_data("mini", out)
    assert len(web.ranges) == 1


def test_a_named_dataset_is_fetched_once(
    web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert load_dataset("mini").classes == CLASSES
    assert load_dataset("mini").name == "mini"
    assert load_dataset("mini").root == tmp_path / "foodvision" / "mini"
    assert len(web.ranges) == 1


def test_concurrent_processes_fetch_a_dataset_once(
    web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with ThreadPoolExecutor(4) as pool:
        assert {dataset.classes for dataset in pool.map(load_dataset, ["mini"] * 4)} == {CLASSES}
    assert len(web.ranges) == 1


def test_big(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    web = Web(big_tar(), "food-101.tar.gz")
    serve(monkeypatch, web, "big")
    web.faults = [hang_up_after(3000)]
    get_data("big", tmp_path / "big")
    web.stop()
    assert web.sent == len(web.content)
    assert counts(tmp_path / "big") == {
        "train": {"apple_pie": 3, "waffles": 3},
        "test": {"apple_pie": 1, "waffles": 1},
    }
    assert (tmp_path / "big/test/waffles/3.jpg").read_bytes() == jpeg(7)
    assert sorted(p.name for p in (tmp_path / "big").iterdir()) == [
        "license_agreement.txt",
        "test",
        "train",
    ]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (big_tar(missing="waffles/1"), "1 images are missing: waffles/1.jpg"),
        (big_tar(unlisted="waffles/77"), "waffles/77.jpg is in neither train.json nor test.json"),
        (big_tar(lists=("train",)), r"no food-101/meta/test.json that can be read"),
        (mini_zip(), r"no food-101/meta/train.json that can be read"),
    ],
)
def test_an_archive_other_than_food101(
    content: bytes, reason: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    web = Web(content)
    serve(monkeypatch, web, "big")
    with pytest.raises(DataError, match=reason):
        get_data("big", tmp_path / "big")
    web.stop()
    assert [path.name for path in tmp_path.iterdir()] == [".mini.zip"]


def test_a_zip_without_a_test(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    web = Web(mini_zip(test=0))
    serve(monkeypatch, web, "mini20")
    with pytest.raises(DataError, match=r"mini.zip: has no test/CLASS/\*.jpg"):
        get_data("mini20", tmp_path / "mini")
    web.stop()


def test_an_interruption_leaves_no_half_folder(
    web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, written = archive._write, []

    def interrupted(*args: object) -> None:
        if len(written) == 5:
            raise KeyboardInterrupt
        written.append(args)
        write(*args)

    with monkeypatch.context() as patch:
        patch.setattr(archive, "_write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            get_data("mini", tmp_path / "mini")
    assert len(written) == 5
    assert [path.name for path in tmp_path.iterdir()] == [".mini.zip"]
    get_data("mini", tmp_path / "mini")
    assert [path.name for path in tmp_path.iterdir()] == ["mini"]
    assert len(web.ranges) == 1  # the archive was complete


def test_wrong_bytes_then_right_ones(web: Web, tmp_path: Path) -> None:
    web.faults = [wrong_bytes]
    with pytest.raises(DataError, match="sent another file"):
        get_data("mini", tmp_path / "mini")
    assert list(tmp_path.iterdir()) == []
    get_data("mini", tmp_path / "mini")


def test_a_file_can_be_provided_by_hand_without_a_network(
    web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = RemoteFile(
        f"http://127.0.0.1:{closed_port()}/mini.zip", "git blob id", web.file().digest, 10**7
    )
    monkeypatch.setitem(food101.RELEASES, "mini", Release(file, 10**7, 100))
    with pytest.raises(DataError, match="cannot be reached"):
        get_data("mini", tmp_path / "mini")
    (tmp_path / "mini.zip").write_bytes(web.content)
    get_data("mini", tmp_path / "mini")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mini", "mini.zip"]


def test_a_folder_that_cannot_be_written(web: Web, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"mini: cannot be written \(.+\)"):
        get_data("mini", tmp_path / "file" / "mini")
    assert web.ranges == []


@pytest.fixture(scope="module")
def food(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Food-101 of 40 + 20 images of each of four classes."""
    root = tmp_path_factory.mktemp("food")
    for split, count in (("train", 40), ("test", 20)):
        for number, label in enumerate((*CLASSES, "waffles")):
            folder = root / split / label
            folder.mkdir(parents=True)
            for i in range(count):
                (folder / f"{i}.jpg").write_bytes(b"%d %d %s" % (number, i, split.encode()))
    return root


def images_of(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*.jpg")}


def test_mini_cut_from_food101(food: Path, tmp_path: Path) -> None:
    get_data("mini", tmp_path / "mini", str(food))
    get_data("mini20", tmp_path / "mini20", str(food))
    assert counts(tmp_path / "mini20") == {
        "train": dict.fromkeys(CLASSES, 8),
        "test": dict.fromkeys(CLASSES, 4),
    }
    mini, mini20 = images_of(tmp_path / "mini"), images_of(tmp_path / "mini20")
    assert len(mini) == 3 * (4 + 2)
    assert mini < mini20 < images_of(food)
    name = min(mini)
    assert (tmp_path / "mini" / name).read_bytes() == (food / name).read_bytes()


def test_the_seed_decides(food: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        cut_mini(load_dataset(food), tmp_path / name, 0.1, seed)
    a, b, c = (images_of(tmp_path / name) for name in "abc")
    assert a == b != c


def test_sources_that_mini_cannot_be_cut_from(food: Path, patterns: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no pizza in train; is it Food-101"):
        get_data("mini", tmp_path / "mini", str(patterns))
    with pytest.raises(DataError, match="has no pizza in train"):
        get_data("mini", tmp_path / "mini", str(food / "test"))  # flat
    with pytest.raises(DataError, match="drawn cannot be cut"):
        get_data("drawn", tmp_path / "mini", str(food))
    assert list(tmp_path.iterdir()) == []
