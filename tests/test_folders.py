from __future__ import annotations

import inspect
import os
import socket
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radiodino.runtime.decode import decode
from radiodino.runtime.errors import InputError, UnreadableImageError
from radiodino.runtime.inputs.listing import list_inputs

pytestmark = pytest.mark.usefixtures("here")  # inputs are typed relative to a folder of their own


def test_a_folder_is_listed_by_its_paths_components(touch, names):
    """By component `a` (a folder) comes before `a-b` and `a.png`; by plain text it would not."""
    touch("d/a/2.png", "d/a/10.png", "d/a-b/1.png", "d/a.png", "d/Z.png", "d/é.png")
    expected = ["d/Z.png", "d/a/10.png", "d/a/2.png", "d/a-b/1.png", "d/a.png", "d/é.png"]
    assert names("d") == names("d/") == names("./d") == expected
    assert names("d") == sorted(names("d"), key=lambda name: name.split("/"))


def test_the_label_is_the_first_folder_below_the_root(touch, labels):
    touch("d/1.png", "d/benign/2.png", "d/benign/deep/er/3.png", "d/malignant/4.png")
    assert labels("d") == {
        "d/1.png": "",
        "d/benign/2.png": "benign",
        "d/benign/deep/er/3.png": "benign",
        "d/malignant/4.png": "malignant",
    }
    assert labels("d/benign/2.png") == {"d/benign/2.png": ""}


def test_a_socket_in_a_folder_is_skipped_and_refused_when_typed(touch):
    touch("d/1.png")
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind("d/s")
        assert list_inputs(["d"]).skipped == {"neither file nor folder": 1}
        with pytest.raises(InputError, match="neither a readable file nor a folder"):
            list_inputs(["d/s"])


def test_links_to_folders_are_followed_and_may_lead_back(touch):
    touch("d/a/1.png", "elsewhere/2.png")
    os.symlink(os.path.abspath("elsewhere"), "d/linked")
    os.symlink("..", "d/a/back")
    os.symlink("a", "d/z")
    listing = list_inputs(["d"])
    assert [(item.name, item.label) for item in listing] == [("d/a/1.png", "a"), ("d/linked/2.png", "linked")]
    assert listing.twice == 2


def test_a_linked_file_is_an_image_of_its_own(touch, names):
    touch("d/a/1.png", "blob")
    os.makedirs("d/b")
    os.symlink(os.path.abspath("blob"), "d/b/2.png")
    os.symlink("../a/1.png", "d/b/3.png")
    os.link("d/a/1.png", "d/a/4.png")
    assert names("d") == ["d/a/1.png", "d/a/4.png", "d/b/2.png", "d/b/3.png"]


def test_a_link_that_leads_nowhere_is_listed_to_be_reported(touch):
    touch("d/1.png")
    os.symlink("missing", "d/2.png")
    os.symlink("3.png", "d/3.png")
    listing = list_inputs(["d"])
    assert [item.name for item in listing] == ["d/1.png", "d/2.png", "d/3.png"]
    for item in listing[1:]:
        with pytest.raises(UnreadableImageError):
            list(decode(item.load()))


@contextmanager
def no_superuser():
    """Permissions bind everybody but the superuser."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs POSIX permissions")
@pytest.mark.parametrize("typed", ["d", "d/**/*.png", "d/*/*.png"])
def test_a_folder_that_cannot_be_read_is_an_error_and_not_left_out(typed, touch):
    touch("d/1.png", "d/private/2.png")
    here = os.open(".", os.O_RDONLY)
    parents = [path for path in Path.cwd().parents if path.stat().st_uid == os.geteuid() and path != Path("/")]
    modes = {path: path.stat().st_mode for path in [*parents, Path.cwd()]}
    try:
        if os.geteuid() == 0:
            for path in modes:
                path.chmod(0o755)
        os.chmod("d/private", 0)
        with no_superuser(), pytest.raises(InputError, match=r"cannot list the folder d/private .*make it readable"):
            list_inputs([typed])
    finally:
        os.chmod("d/private", 0o755)
        for path, mode in modes.items():
            path.chmod(mode)
        os.close(here)


def test_folders_nested_too_deeply(touch, names):
    deepest = Path("d", *"n" * 200)
    deepest.mkdir(parents=True)
    before = sys.getrecursionlimit()
    try:
        touch("d/1.png")
        try:
            sys.setrecursionlimit(len(inspect.stack(0)) + 150)
            with pytest.raises(InputError, match="nested too deeply"):
                list_inputs(["d"])
        finally:
            sys.setrecursionlimit(before)
        assert names("d") == ["d/1.png"]
    finally:
        os.removedirs(deepest)  # level by level; what clears old temporary folders away would recurse


files = st.lists(st.lists(st.text("abAB.-é# ", min_size=1, max_size=4), min_size=1, max_size=3), min_size=1, max_size=8)


@settings(max_examples=60, deadline=None)
@given(paths=files)
def test_any_folder_is_listed_completely_in_order_with_its_labels(tmp_path_factory, paths):
    root = tmp_path_factory.mktemp("tree")
    for parts in paths:
        if any(part.strip(". ") == "" for part in parts):
            continue
        path = root.joinpath(*parts)
        if any(parent.is_file() for parent in path.parents) or path.exists():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    found = [
        path.relative_to(root).parts
        for path in root.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(root).parts)
    ]
    stems = {"/".join(parts) for parts in found}
    if any("#" in stem and stem.rpartition("#")[2].isdigit() for stem in stems) or not found:
        return
    listing = list_inputs([str(root)])
    assert [item.name for item in listing] == [f"{root}/{'/'.join(parts)}" for parts in sorted(found)]
    assert [item.label for item in listing] == [parts[0] if len(parts) > 1 else "" for parts in sorted(found)]
    count = sum(path.is_file() for path in root.rglob("*"))
    assert count == len(listing) or listing.skipped["hidden"]
