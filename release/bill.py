"""What a release is made of: its SBOM, the licences of it all, and known vulnerabilities."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

from release.environment import Environment

LICENCES = Path("docs/reference/licences.md")
ACCEPTED = {
    "CVE-2026-134825": "of Gradio's server-side rendering, which the apps switch off",
}
"""Vulnerabilities of pinned versions that do not touch foodvision, and why."""
HEADER = """# Licences of the dependencies

What `pip install 'foodvision[app,caption,data,export,ray,timm]'` installs beside foodvision on
Linux, at the versions of `constraints.txt`, with the licences that each package states.
`make release` writes this page.

| package | version | licence |
|---|---|---|
"""


def write_bill(environment: Environment, wheel: Path) -> None:
    """Write the SBOM (CycloneDX) beside the wheel, and the page of licences into the docs.

    Args:
        environment: with the wheel and all its dependencies.
        wheel: the release.

    """
    sbom = wheel.with_suffix(".cdx.json")
    program = Path(sys.executable).with_name("cyclonedx-py")
    options = ["--pyproject", "pyproject.toml", "--mc-type", "library", "--output-reproducible"]
    python = environment.bin / "python"
    subprocess.run([program, "environment", *options, "-o", sbom, python], check=True)
    folder = next(environment.bin.parent.glob("lib/python*/site-packages"))
    found = [part for part in distributions(path=[str(folder)]) if part.name != "foodvision"]
    found.sort(key=lambda part: part.name.lower())
    lines = [f"| {part.name} | {part.version} | {licence(part)} |\n" for part in found]
    LICENCES.write_text(HEADER + "".join(lines), encoding="utf-8")
    print(f"{sbom.name}: {len(found)} dependencies; their licences are in {LICENCES}", flush=True)


def licence(part: Distribution) -> str:
    """What a package states: an SPDX expression, its classifiers, or its text's first line."""
    expression, text = part.metadata["License-Expression"], part.metadata["License"]
    classified = [
        classifier.rpartition(" :: ")[2]
        for classifier in part.metadata.get_all("Classifier") or []
        if classifier.startswith("License :: ")
    ]
    heading = (text or "").strip().partition("\n")[0].strip()
    return expression or "; ".join(classified) or heading or "not stated"


def _names(found: dict[str, Any]) -> set[str]:
    return {found["id"], *found.get("aliases", [])}


def vulnerable(constraints: Path) -> bool:
    """Print the known vulnerabilities of all pins; True if there are any, or none can be told."""
    program = Path(sys.executable).with_name("pip-audit")
    options = ["--disable-pip", "--no-deps", "--progress-spinner=off", "--format=json"]
    command = [program, "--requirement", constraints, *options]
    ended = subprocess.run(command, capture_output=True, text=True)
    if not ended.stdout:
        sys.exit(ended.stderr)
    pins = json.loads(ended.stdout)["dependencies"]
    bad = 0
    for pin in pins:
        found_here = [own for own in pin.get("vulns", []) if not ACCEPTED.keys() & _names(own)]
        bad += bool(found_here)
        for found in found_here:
            fixed = ", ".join(found["fix_versions"]) or "no version"
            print(f"{pin['name']} {pin['version']}: {found['id']}, fixed in {fixed}")
    skipped = sum("skip_reason" in pin for pin in pins)
    print(f"{len(pins)} pins: {bad} with known vulnerabilities, {skipped} could not be looked up")
    return bad + skipped > 0
