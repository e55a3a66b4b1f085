from __future__ import annotations

import os
from pathlib import Path

import pytest

from foodvision.errors import FoodvisionError
from foodvision.files.atomic import cache_folder, cannot_write, new_folder, replacing


def interrupted(path: Path) -> None:
    path.write_text("half")
    raise KeyboardInterrupt


def test_a_file_is_replaced_completely_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    for text in ("old", "new"):
        with replacing(path) as temporary:
            temporary.write_text(text)
    assert path.read_text() == "new"
    with pytest.raises(KeyboardInterrupt), replacing(path) as temporary:
        interrupted(temporary)
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_appears_completely_or_not_at_all(tmp_path: Path) -> None:
    out = tmp_path / "data" / "mini"
    with pytest.raises(KeyboardInterrupt), new_folder(out) as folder:
        interrupted(folder / "half.jpg")
    assert list(out.parent.iterdir()) == []
    with new_folder(out) as folder:
        (folder / "whole.jpg").touch()
        assert not out.exists()
    assert list(out.parent.iterdir()) == [out]
    assert out.stat().st_mode & 0o777 == 0o755
    with pytest.raises(OSError, match="not empty"), new_folder(out):
        pass
    assert [path.name for path in out.iterdir()] == ["whole.jpg"]


def test_what_a_killed_process_left_is_deleted_and_what_a_living_one_writes_is_not(
    tmp_path: Path,
) -> None:
    out = tmp_path / "data"
    (tmp_path / ".data.unfinished-abcd1234").mkdir()
    (tmp_path / ".data.unfinished-abcd1234" / "half.jpg").touch()
    os.utime(tmp_path / ".data.unfinished-abcd1234", (0, 0))
    with new_folder(out) as one:
        assert list(tmp_path.iterdir()) == [one]
        os.utime(one, (0, 0))
        with pytest.raises(KeyboardInterrupt), new_folder(out):
            interrupted(one / "whole.jpg")
        assert list(tmp_path.iterdir()) == [one]
    assert [path.name for path in out.iterdir()] == ["whole.jpg"]


def test_the_message_has_the_systems_reason() -> None:
    error = OSError(28, "No space left on device")
    assert cannot_write(Path("x"), error) == "x: cannot be written (No space left on device)"


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    without_home(monkeypatch)
    with pytest.raises(FoodvisionError, match=r"no home folder .* set XDG_CACHE_HOME"):
        cache_folder()
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    assert cache_folder() == Path("/elsewhere/foodvision")


def without_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a container runs for a user that it does not know."""

    def expanduser(path: str) -> str:
        return path

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr("os.path.expanduser", expanduser)


@pytest.mark.parametrize("out", [".", "..", "../.."])
def test_the_current_folder_is_not_replaced(
    out: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "a" / "b"
    here.mkdir(parents=True)
    monkeypatch.chdir(here)
    with pytest.raises(OSError, match="contains the current folder"), new_folder(Path(out)):
        pass
    assert list(tmp_path.rglob("*")) == [tmp_path / "a", here]
