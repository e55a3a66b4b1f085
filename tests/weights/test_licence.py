from __future__ import annotations

import json
from pathlib import Path

import pytest

from foodvision.errors import ModelError
from foodvision.weights import licence
from foodvision.weights.licence import find_licence


@pytest.mark.parametrize(
    ("config", "card", "expected"),
    [
        ({"pretrained_cfg": {"license": "apache-2.0"}}, None, "apache-2.0"),
        ({}, "---\nlicense: mit\n---\n# A model\n", "mit"),
        ({"pretrained_cfg": 3}, "---\nlicense: [\n---\n", None),
        ({}, "no header", None),
        (None, None, None),
    ],
)
def test_it_is_what_the_repository_says(
    config: dict[str, object] | None, card: str | None, expected: str | None, tmp_path: Path
) -> None:
    if config is not None:
        (tmp_path / "config.json").write_text(json.dumps(config))
    if card is not None:
        (tmp_path / "README.md").write_text(card)
    assert find_licence(str(tmp_path)) == expected


def test_torchvision_names_that_of_swag() -> None:
    swag = find_licence("torchvision:vit_b_16/IMAGENET1K_SWAG_E2E_V1")
    assert swag is not None
    assert "SWAG" in swag
    assert find_licence("torchvision:vit_b_16/IMAGENET1K_V1") is None


def test_a_source_on_the_hub_has_the_licence_of_its_cached_repository_not_of_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\n")
    snapshot = tmp_path / "cached" / "config.json"
    snapshot.parent.mkdir()
    snapshot.write_text('{"pretrained_cfg": {"license": "apache-2.0"}}')
    cache = {("timm/vit.tag", "config.json"): str(snapshot), ("a/b", "config.json"): str(snapshot)}
    monkeypatch.setattr(licence, "try_to_load_from_cache", lambda *key: cache.get(key))
    monkeypatch.chdir(tmp_path)
    assert find_licence("timm:vit.tag") == find_licence("hub:a/b") == "apache-2.0"
    assert find_licence("timm:other.tag") is None


def test_an_impossible_name_is_one_line() -> None:
    with pytest.raises(ModelError, match=r"a/b/c is not a repository name \(OWNER/NAME\)"):
        find_licence("hub:a/b/c")
