"""What a release is made of: its SBOM, the licences of it all, and known vulnerabilities."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from release.environment import Environment

LICENCES = Path("docs/reference/licences.md")
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
    components = json.loads(sbom.read_text())["components"]
    rows = sorted(
        (part["name"].lower(), part["version"], licence(part))
        for part in components
        if part["name"] != "foodvision"
    )
    lines = [f"| {name} | {version} | {text} |\n" for name, version, text in rows]
    LICENCES.write_text(HEADER + "".join(lines), encoding="utf-8")
    print(f"{sbom.name}: {len(rows)} dependencies; their licences are in {LICENCES}", flush=True)


def licence(part: dict[str, Any]) -> str:
    """The licences that a component of an SBOM states, or ``not stated``."""
    names = []
    for entry in part.get("licenses", []):
        named = entry.get("license", {})
        names.append(entry.get("expression") or named.get("id") or named.get("name", ""))
    short = dict.fromkeys(name.removeprefix("License :: OSI Approved :: ") for name in names)
    return "; ".join(name for name in short if name and len(name) < 80) or "not stated"


def vulnerable(constraints: Path) -> bool:
    """Print the known vulnerabilities of all pins; True if there are any, or none can be told."""
    program = Path(sys.executable).with_name("pip-audit")
    options = ["--disable-pip", "--no-deps", "--progress-spinner=off"]
    command = [program, "--requirement", constraints, *options]
    ended = subprocess.run(command, capture_output=True, text=True)
    print(ended.stdout + (ended.stderr.strip().splitlines() or [""])[-1], flush=True)
    return ended.returncode != 0
