from __future__ import annotations

from pathlib import Path

from foodvision.captioning.caption import Caption
from foodvision.captioning.text_files import TextFiles


def test_captions_are_written_beside_images_and_nothing_is_overwritten(tmp_path: Path) -> None:
    for name in ("a.jpg", "a.png", "b.jpg", "c.jpg"):
        (tmp_path / name).touch()
    (tmp_path / "b.txt").write_text("mine")
    (tmp_path / "c.txt").symlink_to(tmp_path / "nowhere")
    rows = [
        Caption(str(tmp_path / "a.jpg"), "one", ("one", "two")),
        Caption(str(tmp_path / "a.png"), "other", ("other",)),
        Caption(str(tmp_path / "b.jpg"), "one", ("one",)),
        Caption(str(tmp_path / "c.jpg"), "one", ("one",)),
        Caption("http://x/y.jpg", "one", ("one",)),
        Caption(str(tmp_path / "bad.jpg"), error="no such file"),
    ]
    for _ in range(2):  # again, as after an interruption
        files = TextFiles()
        assert list(files.write(rows)) == rows
        assert files.summary() == (
            "text files: 1; 3 with another content were there already and are unchanged; "
            "1 are not local files"
        )
    assert (tmp_path / "a.txt").read_text() == "one\ntwo\n"
    assert (tmp_path / "b.txt").read_text() == "mine"
    assert not (tmp_path / "nowhere").exists()
