"""The committed notebooks are small, whole and impersonal; `make notebooks` executes them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))


def outputs(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    return [output for cell in code for output in cell["outputs"]]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem[:2])
def test_the_outputs_are_those_of_one_clean_run_and_small(path: Path) -> None:
    assert path.stat().st_size <= 600_000
    notebook = json.loads(path.read_text(encoding="utf-8"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    assert not [output for output in outputs(notebook) if output["output_type"] == "error"]
    assert not [output for output in outputs(notebook) if output.get("name") == "stderr"]
    assert any("image/png" in output.get("data", {}) for output in outputs(notebook))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem[:2])
def test_no_folder_or_package_index_of_a_machine_is_named(path: Path) -> None:
    notebook = json.loads(path.read_text(encoding="utf-8"))
    for output in outputs(notebook):
        output.get("data", {}).pop("image/png", None)
    text = json.dumps([notebook["metadata"], outputs(notebook)])
    assert not re.search(r"/(home|root|tmp|Users|work|opt)/|\.venv|site-packages|index-url", text)


def test_both_are_there() -> None:
    names = [path.name for path in NOTEBOOKS]
    assert names == ["08_paper_replicating.ipynb", "09_model_deployment.ipynb"]
