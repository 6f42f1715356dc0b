"""Files are written whole or not at all."""

import errno
import hashlib
import os
from pathlib import Path

import pytest

from upweight.errors import FileError
from upweight.files import sha256_of, write_atomically


def test_text_and_bytes_are_written(tmp_path: Path) -> None:
    """Text as UTF-8, a newer file over an older one with its rights, and no .part left."""
    path = tmp_path / "a.txt"
    write_atomically(path, "größe\n")
    path.chmod(0o600)
    write_atomically(str(path), b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
    assert sha256_of(path) == hashlib.sha256(b"\x00\xff").hexdigest()


def test_a_link_is_followed_and_a_device_is_written_to(tmp_path: Path) -> None:
    """The link stays a link; /dev/null stays a device."""
    (tmp_path / "real.txt").write_text("old")
    (tmp_path / "link.txt").symlink_to(tmp_path / "real.txt")
    write_atomically(tmp_path / "link.txt", "new")
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "real.txt").read_text() == "new"
    write_atomically(os.devnull, "gone")
    assert not Path(os.devnull).is_file()


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (
            errno.ENOSPC,
            r"a\.txt: the disk is full: the file needs 3 bytes and .* has [\d,]+ free\. Nothing was written",
        ),
        (errno.EDQUOT, r"a\.txt: the disk is full"),
        (errno.EIO, r"a\.txt: cannot be written \(broken\)\. Nothing was written"),
    ],
)
def test_a_failure_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, text: str) -> None:
    """Neither a half file nor a .part file is left."""

    def fail(_: int) -> None:
        raise OSError(code, "broken")

    path = tmp_path / "a.txt"
    path.write_text("old")
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(FileError, match=text):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_an_interrupt_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the middle goes on its way and leaves no .part file."""

    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "a.txt", "new")
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_really_full_is_refused() -> None:
    """Linux has a device for it."""
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    with pytest.raises(FileError, match="cannot be written"):
        write_atomically("/dev/full", "x" * 10_000)


def test_wrong_places_are_named(tmp_path: Path) -> None:
    """A folder, a folder that is not there, a file that is not there."""
    with pytest.raises(FileError, match=r"is a folder\. Give the name of a file"):
        write_atomically(tmp_path, "x")
    with pytest.raises(FileError, match=r"there is no folder .*nowhere'\. Make it first: mkdir -p"):
        write_atomically(tmp_path / "nowhere" / "a.txt", "x")
    with pytest.raises(FileError, match=r"a\.txt: cannot be read \(No such file"):
        sha256_of(tmp_path / "a.txt")
