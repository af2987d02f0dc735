from __future__ import annotations

import sys
from importlib import metadata

import pytest

from radiodino.runtime.errors import MissingExtraError
from radiodino.runtime.extras import require
from radiodino.runtime.install_command import install_command


def test_what_is_installed_is_not_imported():
    sys.modules.pop("this", None)
    require("cpu", "json", "this")
    assert "this" not in sys.modules


def test_a_missing_module_names_its_extra():
    with pytest.raises(MissingExtraError, match=r"not_there is not installed: run  pip install 'radiodino\[gpu\]"):
        require("gpu", "json", "not_there")


@pytest.mark.parametrize(
    ("direct_url", "command"),
    [
        (None, "pip install 'radiodino[cpu]'"),
        ('{"url": "file:///somewhere/radiodino"}', "pip install 'radiodino[cpu] @ file:///somewhere/radiodino'"),
        ("damaged", "pip install 'radiodino[cpu]'"),
    ],
)
def test_the_cure_installs_from_where_this_copy_came(direct_url, command, monkeypatch):
    class Distribution:
        def read_text(self, name):
            assert name == "direct_url.json"
            return direct_url

    monkeypatch.setattr(metadata, "distribution", lambda name: Distribution())
    assert install_command("cpu") == command
