from __future__ import annotations

import sys
from importlib import metadata

import pytest

from radiodino.runtime.installed import installed_versions


def test_the_versions_are_those_of_the_metadata():
    names = ("numpy", "pillow", "radiodino", "no-such-distribution")
    expected = {name: metadata.version(name) for name in names[:3]}
    assert installed_versions(*names) == expected
    assert list(installed_versions(*names)) == list(expected)


def test_names_are_normalised(tmp_path, monkeypatch):
    (tmp_path / "Some_Engine.GPU-1.2.3.post1.dist-info").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert installed_versions("some-engine-gpu", "some-engine") == {"some-engine-gpu": "1.2.3.post1"}


def test_the_first_folder_counts(tmp_path, monkeypatch):
    for folder, version in (("first", "2.0"), ("second", "1.0")):
        (tmp_path / folder / f"engine-{version}.dist-info").mkdir(parents=True)
    monkeypatch.setattr(sys, "path", [str(tmp_path / "none"), str(tmp_path / "first"), str(tmp_path / "second")])
    assert installed_versions("engine") == {"engine": "2.0"}


@pytest.mark.parametrize("versions", [(), ("1.0", "2.0")], ids=["none", "two copies"])
def test_what_is_not_plain_is_left_to_the_metadata(tmp_path, monkeypatch, versions):
    for version in versions:
        folder = tmp_path / f"engine-{version}.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: engine\nVersion: {version}\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert installed_versions("engine") == ({"engine": metadata.version("engine")} if versions else {})
