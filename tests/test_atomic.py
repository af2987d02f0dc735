from __future__ import annotations

import os
import subprocess
import sys

import pytest

from radiodino.runtime.atomic import atomic_path, refuse_existing
from radiodino.runtime.errors import OutputError


def test_the_file_appears_when_the_block_ends(tmp_path):
    target = tmp_path / "out.bin"
    with atomic_path(target, overwrite=False) as temporary:
        temporary.write_bytes(b"whole")
        assert not target.exists()
        assert temporary.parent == tmp_path
    assert target.read_bytes() == b"whole"
    assert os.listdir(tmp_path) == ["out.bin"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_nothing_is_left_of_a_block_that_fails(tmp_path, error):
    (tmp_path / "out.bin").write_bytes(b"before")

    def write_half():
        with atomic_path(tmp_path / "out.bin", overwrite=True) as temporary:
            temporary.write_bytes(b"half")
            raise error

    with pytest.raises(error):
        write_half()
    assert os.listdir(tmp_path) == ["out.bin"]
    assert (tmp_path / "out.bin").read_bytes() == b"before"


def test_the_file_has_the_mode_of_any_new_file(tmp_path):
    with atomic_path(tmp_path / "a", overwrite=False) as temporary:
        temporary.write_bytes(b"")
    (tmp_path / "b").write_bytes(b"")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_an_existing_file_is_replaced_only_when_asked(tmp_path):
    target = tmp_path / "out.bin"
    target.write_bytes(b"precious")
    with pytest.raises(OutputError, match="--force"), atomic_path(target, overwrite=False):
        pass
    assert target.read_bytes() == b"precious"
    with atomic_path(target, overwrite=True) as temporary:
        temporary.write_bytes(b"new")
    assert target.read_bytes() == b"new"


def test_what_cannot_be_written_is_said_early(tmp_path):
    with pytest.raises(OutputError, match="is a folder"):
        refuse_existing(tmp_path, overwrite=True)
    with pytest.raises(OutputError, match="does not exist"):
        refuse_existing(tmp_path / "none" / "out.bin", overwrite=False)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc, which not even root can write to")
def test_an_unwritable_folder_is_one_sentence():
    from pathlib import Path

    with pytest.raises(OutputError, match=r"/proc/self"), atomic_path(Path("/proc/self/out"), overwrite=False):
        pass


FULL = """
import resource, sys
from pathlib import Path
from radiodino.runtime.atomic import atomic_path
from radiodino.runtime.errors import OutputError
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    with atomic_path(Path(sys.argv[1]), overwrite=False) as temporary:
        temporary.write_bytes(bytes(5000))
except OutputError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs resource limits")
def test_a_full_disk_leaves_nothing(tmp_path):
    target = tmp_path / "out.bin"
    finished = subprocess.run([sys.executable, "-c", FULL, str(target)], capture_output=True, text=True, check=True)
    assert finished.stdout.startswith(f"cannot write {target}: ")
    assert os.listdir(tmp_path) == []
