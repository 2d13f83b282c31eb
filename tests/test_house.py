"""The shape of the house: what keeps `import fhir.resources` and the layers working."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOTS = ("mappings", "fhir", "omop", "etl", "validation", "api")


@pytest.mark.parametrize("root", (*ROOTS, "tests"))
def test_no_root_folder_is_a_package(repository_root: Path, root: str) -> None:
    # fhir.resources owns the package name `fhir`; a root fhir/__init__.py would hide it
    assert (repository_root / root).is_dir()
    assert not (repository_root / root / "__init__.py").exists()


@pytest.mark.parametrize("root", ROOTS)
def test_every_room_has_its_page(repository_root: Path, root: str) -> None:
    page = (repository_root / root / "README.md").read_text(encoding="utf-8")
    assert len(page) > 400, f"{root}/README.md says too little"


def test_fhir_resources_is_importable_beside_the_folder_of_that_name(repository_root: Path) -> None:
    code = "import fhir.resources, masterkey_fhir; print(fhir.__file__)"
    out = subprocess.run([sys.executable, "-c", code], cwd=repository_root, capture_output=True, text=True, check=True)
    assert "site-packages" in out.stdout


def tracked_files(repository_root: Path) -> list[Path]:
    out = subprocess.run(["git", "ls-files"], cwd=repository_root, capture_output=True, text=True, check=True)
    return [repository_root / line for line in out.stdout.splitlines()]


def test_no_registry_host_and_no_path_of_a_machine_is_named(repository_root: Path) -> None:
    banned = re.compile(
        "|".join(
            (
                "pypi" + r"\.org",
                "pythonhosted" + r"\.org",
                "npmjs" + r"\.org",
                "repo1?" + r"\.maven",
                "/" + "work/",
                "/" + "root/",
                r"deb\.debian" + r"\.org",
            )
        )
    )
    found = []
    for path in tracked_files(repository_root):
        if path.suffix in (".gz", ".png", ".tgz", ".duckdb") or not path.exists():
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            if banned.search(line):
                found.append(f"{path.relative_to(repository_root)}:{number}")
    assert not found


def test_requirements_are_hashed(repository_root: Path) -> None:
    for name in ("requirements.txt", "requirements-dev.txt"):
        text = (repository_root / name).read_text(encoding="utf-8")
        pins = re.findall(r"^[a-z0-9].*==", text, re.MULTILINE | re.IGNORECASE)
        assert pins and text.count("--hash=sha256:") >= len(pins)
        assert "index-url" not in text


def test_both_requirement_files_agree(repository_root: Path) -> None:
    def pins(name: str) -> set[str]:
        text = (repository_root / name).read_text(encoding="utf-8")
        return {line.split(" \\")[0].strip() for line in text.splitlines() if "==" in line and not line.startswith(" ")}

    assert pins("requirements.txt") <= pins("requirements-dev.txt")
