from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from foodvision.paper import everything, positions, self_supervision, table1
from foodvision.paper.self_supervision import Outcome, SelfSupervision
from tests.cli.conftest import Result
from tests.conftest import build_torchvision_classifier, draw_pattern


def test_paper_parity(run: Callable[..., Result]) -> None:
    done = run("paper", "parity", "--network", "vit_ti16", "--json")
    assert done.code == 0, done.err
    rows = json.loads(done.out)
    assert [(row["family"], row["model"]) for row in rows] == [
        (family, f"vit_ti16 at {size} px")
        for family in ("torchvision", "timm", "transformers", "google")
        for size in (224, 384)
    ]
    for row in rows:
        assert 0 < row["max_abs_diff"] < 1e-5


def test_paper_table1(run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table1, "PUBLISHED", {"vit_b32": table1.PUBLISHED["vit_b32"]})
    done = run("paper", "table1", "--json")
    assert done.code == 0, done.err
    (size,) = json.loads(done.out)
    assert (size["model"], size["parameters"]) == ("vit_b32", 88_224_232)
    assert size["multiply_adds"] == pytest.approx(size["published_multiply_adds"], rel=0.01)
    assert run("paper", "table1").out.startswith("Table 1\nmodel ")


def test_paper_equations(run: Callable[..., Result]) -> None:
    done = run("paper", "equations", "--json")
    assert done.code == 0, done.err
    rows = json.loads(done.out)
    assert [row["number"] for row in rows] == [*range(1, 9)]
    assert rows[0]["symbol"] == "PatchEmbedding.forward"
    assert run("paper", "equations").out.startswith("Equations 1 to 8\n")


def test_paper_figures(run: Callable[..., Result], model: Path, tmp_path: Path) -> None:
    draw_pattern("dots", 0).save(tmp_path / "photo.png")
    arguments = ("--model", model, "--out", tmp_path / "out", tmp_path / "photo.png")
    done = run("paper", "figures", *arguments, "--json")
    assert done.code == 0, done.err
    drawn = json.loads(done.out)
    assert len(drawn["files"]) == 4
    assert all(Path(file).stat().st_size for file in drawn["files"])
    assert len(drawn["attention_distance"]) == 2
    assert "Figure 7 right: mean attention distance" in run("paper", "figures", *arguments).out
    done = run("paper", "figures", "--model", "nosuch", "--out", tmp_path / "out")
    assert (done.code, "nosuch: no such file or folder" in done.err) == (1, True)


TINY = ["--set=image_size=16", "--set=num_layers=1", "--set=epochs=1", "--set=batch_size=32"]


def test_paper_positions(run: Callable[..., Result], patterns: Path) -> None:
    done = run("paper", "positions", patterns, "--variant", "1d", *TINY, "--json")
    assert done.code == 0, done.err
    (row,) = json.loads(done.out)
    assert (row["variant"], len(row["log_losses"])) == ("1d", 1)
    assert run("paper", "positions", patterns, "--set", "epochs").code == 2
    done = run("paper", "positions", patterns, "--variant", "3d")
    assert (done.code, "no variant '3d'" in done.err) == (1, True)


def test_paper_few_shot(run: Callable[..., Result], model: Path, patterns: Path) -> None:
    done = run("paper", "few-shot", patterns, "--model", model, "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert [row["shots"] for row in found["rows"]] == [1, 5, 10, 25]
    done = run("paper", "few-shot", patterns, "--model", model)
    assert done.out.startswith("Few-shot linear evaluation\nimages per class")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table1, "PUBLISHED", {"vit_b32": table1.PUBLISHED["vit_b32"]})
    small = {"image_size": 16, "num_layers": 1, "epochs": 1, "batch_size": 32}
    monkeypatch.setattr(positions, "SETTINGS", positions.SETTINGS | small)
    monkeypatch.setattr(everything, "IMAGES", 4)
    one = partial(positions.compare_positions, variants=("1d",))
    monkeypatch.setattr(everything, "compare_positions", one)


def test_paper_all(
    quick: None, run: Callable[..., Result], model: Path, patterns: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = run("paper", "all", "--model", model, "--data", patterns, "--out", out)
    assert done.code == 0, done.err
    numbers = json.loads((out / "paper.json").read_text())
    assert list(numbers) == ["table1", "equations", "figures", "few-shot", "positions"]
    assert numbers["figures"]["images"] == 4
    page = (out / "paper.md").read_text()
    for link in re.findall(r"\]\(([^)]+)\)", page):
        assert (out / link).exists()
    assert page.count("![") == 4
    assert page.count("\n## ") == 5
    assert done.out.splitlines()[-1] == f"all of it in {out / 'paper.md'}"


def test_paper_all_of_a_cnn_has_no_figures(
    quick: None, run: Callable[..., Result], patterns: Path, tmp_path: Path
) -> None:
    build_torchvision_classifier("resnet18").save(tmp_path / "cnn")
    out = tmp_path / "out"
    done = run("paper", "all", "--model", tmp_path / "cnn", "--data", patterns, "--out", out)
    assert done.code == 0, done.err
    assert "figures" not in json.loads((out / "paper.json").read_text())
    assert sorted(path.name for path in out.iterdir()) == ["paper.json", "paper.md"]
    done = run("paper", "all", "--model", "nosuch", "--data", patterns, "--out", out)
    assert "nosuch: no such file or folder" in done.err


def test_paper_data_size(
    run: Callable[..., Result], patterns: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole command: three patterns to learn, and the drawings to transfer to."""
    (tmp_path / "tiny.toml").write_text('method = "finetune"\nepochs = 1\nbatch_size = 8\n')
    monkeypatch.setattr("foodvision.paper.data_size.TRANSFER", str(tmp_path / "tiny.toml"))
    target = tmp_path / "target"
    for i, label in enumerate(("dots", "waves")):
        for split, seeds in {"train": range(6), "test": range(6, 8)}.items():
            (target / split / f"big {label}").mkdir(parents=True)
            for seed in seeds:
                image = draw_pattern(label, 100 * i + seed, (20, 20)).resize((40, 40))
                image.save(target / split / f"big {label}" / f"{seed}.png")
    command = ["paper", "data-size", patterns, "--to", target, "--width", "24", "--fraction", "0.5"]
    done = run(*command, *TINY, "--out", tmp_path / "out", "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    (point,) = found["points"]
    assert (found["classes"], point["n"], point["cut"]["width"]) == (3, 4, 24)
    done = run(*command, *TINY, "--out", tmp_path / "out")
    assert done.out.startswith("Figures 3 and 4 in miniature\nwidth")
    done = run("paper", "data-size", patterns, "--to", patterns, "--out", tmp_path / "out")
    assert (done.code, "fewer than two classes" in done.err) == (1, True)
    assert run("paper", "data-size", patterns).code == 2


def test_paper_self_supervision(
    run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    ways = [Outcome(way, [0.5], [0.8], [], 60.0) for way in list(self_supervision.PAPER)[:2]]
    given = []

    def measure(*arguments: object) -> SelfSupervision:
        given.append(arguments)
        return SelfSupervision("mini", 20, 10, ways)

    monkeypatch.setattr(self_supervision, "measure_self_supervision", measure)
    command = ["paper", "self-supervision", "mini", "--seeds", "2", "--set", "epochs=3"]
    more = ("--set-pretraining", "epochs=9", "--teacher", "model", "--out", "out", "--json")
    done = run(*command, *more)
    assert done.code == 0, done.err
    assert [row["paper"] for row in json.loads(done.out)["outcomes"]] == [0.7791, 0.799]
    assert given == [("mini", 2, {"epochs": "3"}, {"epochs": "9"}, "model", Path("out"), "auto")]
    assert run(*command).out.startswith("Section 4.6 in miniature")


def test_paper_course(run: Callable[..., Result], patterns: Path, tmp_path: Path) -> None:
    """Sizes need no food; the tables are on stdout, or one JSON document."""
    command = ["paper", "course", patterns, "--experiments", "sizes", "--out", tmp_path / "out"]
    done = run(*command, "--json")
    assert done.code == 0, done.err
    figures = json.loads(done.out)["figures"]
    assert {"ViT-B/16, 3 classes: parameters"} <= {figure["name"] for figure in figures}
    done = run(*command)
    assert re.search(r"^ViT-B/16, 3 classes: parameters +85,800,963 +85,800,963$", done.out, re.M)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"course.json", "course.md"}


def test_paper_course_errors(run: Callable[..., Result], patterns: Path, tmp_path: Path) -> None:
    done = run("paper", "course", patterns, "--experiments", "size")
    assert (done.code, "one of scratch_course, scratch, frozen_10" in done.err) == (2, True)
    done = run("paper", "course", patterns, "--experiments=frozen_10", "--out", tmp_path / "out")
    assert (done.code, done.out) == (1, "")
    assert "nothing can be run" in done.err
