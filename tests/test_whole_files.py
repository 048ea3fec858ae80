import errno
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from xpmlp.errors import OutputError, XpmlpError
from xpmlp.whole_files import lock_folder, read_whole, write_whole

posix_only = pytest.mark.skipif(os.name != "posix", reason="permissions and device files as on POSIX systems")


def contents(folder: Path) -> dict[str, bytes | None]:
    """The content of each file in a folder, links followed; None for what is no file."""
    return {path.name: path.read_bytes() if path.is_file() else None for path in folder.iterdir()}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file that is there."""
    path = tmp_path / "file"
    path.write_bytes(b"old and longer")
    return path


@pytest.mark.parametrize(
    "name", ["file", ".hidden", "with space", *(["x" * 255, "語" * 85] if os.name == "posix" else [])]
)
def test_a_file_of_any_name_is_written_and_replaced(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for content in (b"new", bytes(range(256)) * 10_000, b""):
        write_whole(Path(name), content)
        assert contents(tmp_path) == {name: content}


@posix_only
def test_whoever_has_the_old_file_open_goes_on_reading_it(path: Path) -> None:
    with path.open("rb") as reader:
        write_whole(path, b"new content")
        assert reader.read() == b"old and longer"
    assert contents(path.parent) == {"file": b"new content"}


# Failures


@pytest.mark.parametrize("exists", [False, True])
@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), OSError("odd"), KeyboardInterrupt()], ids=repr
)
def test_a_disk_that_fails_or_ctrl_c_leaves_the_folder_as_it_was(
    path: Path, monkeypatch: pytest.MonkeyPatch, call: str, error: BaseException, exists: bool
) -> None:
    if not exists:
        path.unlink()
    before = contents(path.parent)

    def fail(*arguments: Any, **keywords: Any) -> Any:
        raise error

    monkeypatch.setattr(os, call, fail)
    with pytest.raises((OutputError, KeyboardInterrupt)) as caught:
        write_whole(path, b"new")
    assert contents(path.parent) == before
    if isinstance(error, OSError):
        assert isinstance(caught.value, XpmlpError)
        assert str(caught.value).startswith(f"{path}: cannot be written ({error.strerror or error}).")


@posix_only
def test_a_file_larger_than_there_is_room_for_leaves_the_folder_as_it_was(path: Path) -> None:
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, limits[1]))
    try:
        with pytest.raises(OutputError, match=r"file: cannot be written \(File too large\)"):
            write_whole(path, bytes(2_000_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert contents(path.parent) == {"file": b"old and longer"}


def test_the_content_is_on_the_disk_before_it_has_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, int]] = []

    def watch(name: str) -> None:
        function = getattr(os, name)

        def watched(source: Any, *others: Any) -> None:
            calls.append((name, os.stat(source).st_size))
            function(source, *others)

        monkeypatch.setattr(os, name, watched)

    watch("fsync")
    watch("replace")
    write_whole(tmp_path / "file", b"12345")
    assert calls == [("fsync", 5), ("replace", 5)]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("missing/file", r"\(No such file or directory\)"),
        ("file/file", ""),
        ("folder", r"\(it is not a regular file\)"),
        pytest.param("pipe", r"\(it is not a regular file\)", marks=posix_only),  # root could replace even /dev/null
        pytest.param("circle", "", marks=posix_only),
    ],
)
def test_what_cannot_be_written_is_named_and_left_alone(path: Path, name: str, reason: str) -> None:
    (path.parent / "folder").mkdir()
    if os.name == "posix":
        os.mkfifo(path.parent / "pipe")
        (path.parent / "circle").symlink_to("circle")
    before = contents(path.parent)
    with pytest.raises(OutputError, match=f"{name}: cannot be written {reason}"):
        write_whole(path.parent / name, b"new")
    assert contents(path.parent) == before


# Permissions and links


@posix_only
@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o000, 0o666)])
def test_a_file_is_as_readable_as_any_new_file(
    tmp_path: Path, mask: int, mode: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = os.umask(mask)
    try:
        with monkeypatch.context() as patch:
            patch.delattr(os, "umask")  # set for a moment, it would be that of files that other threads create
            write_whole(tmp_path / "file", b"new")
    finally:
        assert os.umask(before) == mask
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == mode


@posix_only
@pytest.mark.parametrize("exists", [True, False])
def test_a_link_stays_a_link_and_its_target_is_replaced(path: Path, exists: bool) -> None:
    if not exists:
        path.unlink()
    folder = path.parent / "folder"
    folder.mkdir()
    link = folder / "link"
    link.symlink_to("../file")
    write_whole(link, b"new")
    assert link.is_symlink()
    assert contents(folder) == {"link": b"new"}
    assert contents(path.parent) == {"file": b"new", "folder": None}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_only_regular_files_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path):
        with pytest.raises(OSError, match=r"not a regular file|Is a directory"):
            read_whole(path)
    (tmp_path / "file").write_bytes(b"x")
    assert read_whole(tmp_path / "file") == b"x"


@pytest.mark.skipif(os.name == "nt", reason="folders cannot be locked on Windows")
def test_a_folder_is_locked_until_it_is_let_go(tmp_path: Path) -> None:
    held = lock_folder(tmp_path)
    assert held is not None
    with pytest.raises(OutputError, match="another process is writing to this folder"):
        lock_folder(tmp_path)
    os.close(held)
    again = lock_folder(tmp_path)
    assert again is not None
    os.close(again)
    assert lock_folder(tmp_path / "nowhere") is None
