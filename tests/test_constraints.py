"""The pins that every environment of developers and CI is made of."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PINS = re.split(r"\n(?=\S)", (ROOT / "constraints.txt").read_text().strip())


def test_every_pin_is_one_version_with_its_hashes() -> None:
    for pin in PINS:
        requirement, *hashes = pin.split(" \\\n    ")
        (specifier,) = Requirement(requirement).specifier
        assert specifier.operator == "==", requirement
        assert hashes, requirement
        for digest in hashes:  # and nothing else: no address of a registry
            assert re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", digest), pin


def test_every_dependency_is_pinned_within_its_bounds() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    pinned: dict[str, list[str]] = {}
    for pin in PINS:
        name, _, rest = pin.partition("==")
        pinned.setdefault(canonicalize_name(name), []).append(rest.split()[0])
    for text in (*project["dependencies"], *(text for extra in extras for text in extra)):
        requirement = Requirement(text)
        if requirement.name != project["name"]:
            versions = pinned[canonicalize_name(requirement.name)]
            assert all(map(requirement.specifier.contains, versions)), (text, versions)
