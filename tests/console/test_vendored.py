"""What is vendored is what npm has, by its lock file, with its licences."""

from __future__ import annotations

import json
import re
import tomllib
from hashlib import sha256
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STATIC = ROOT / "coherence_console" / "static"
LISTING = tomllib.loads((STATIC / "VENDOR.toml").read_text(encoding="utf-8"))
LOCK = json.loads((ROOT / "vendor" / "package-lock.json").read_text(encoding="utf-8"))["packages"]
#: What a page of ours may load: an address, and not a comment or a namespace.
ELSEWHERE = re.compile(r"""(?:from|import|src=|href=|fetch\(|url\()\s*\(?["']?(?:https?:)?//""")


def test_every_file_is_listed():
    there = {path.name for path in (STATIC / "vendor").iterdir()}
    assert there == {each["name"] for each in LISTING["file"]}


@pytest.mark.parametrize("file", LISTING["file"], ids=lambda each: each["name"])
def test_a_file_has_its_hash(file):
    data = (STATIC / "vendor" / file["name"]).read_bytes()
    assert sha256(data).hexdigest() == file["sha256"], "run `make vendor`"


@pytest.mark.parametrize("package", LISTING["package"], ids=lambda each: each["name"])
def test_a_package_is_the_one_of_the_lock(package):
    locked = LOCK[f"node_modules/{package['name']}"]
    assert package["version"] == locked["version"]
    assert package["integrity"] == locked["integrity"]
    assert package["licence"] == locked["license"]
    licences = (STATIC / "vendor" / "LICENSES.txt").read_text(encoding="utf-8")
    assert f"{package['name']} {package['version']}\n" in licences


def test_each_file_names_packages_that_are_listed():
    names = {each["name"] for each in LISTING["package"]}
    assert {name for each in LISTING["file"] for name in each["from"]} == names


@pytest.mark.parametrize(
    "path",
    [path for path in sorted(STATIC.rglob("*")) if path.suffix in (".js", ".css", ".html")],
    ids=lambda path: str(path.relative_to(STATIC)),
)
def test_no_file_loads_anything_from_elsewhere(path):
    assert ELSEWHERE.search(path.read_text(encoding="utf-8")) is None
