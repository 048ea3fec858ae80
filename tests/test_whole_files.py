import errno
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from xpmlp.errors import OutputError, XpmlpError
from xpmlp.whole_files import current_umask, write_whole

posix_only = pytest.mark.skipif(os.name != "posix", reason="permissions and device files as on POSIX systems")


@pytest.fixture
def umask() -> Iterator[Callable[[int], int]]:
    """``os.umask``, undone after the test."""
    before = current_umask()
    yield os.umask
    os.umask(before)


def fail_with(error: BaseException) -> Callable[..., Any]:
    def fail(*arguments: Any, **keywords: Any) -> Any:
        raise error

    return fail


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("content", [b"", b"new", bytes(range(256)) * 10_000])
def test_a_new_file_holds_the_content_and_is_alone_in_its_folder(tmp_path: Path, content: bytes) -> None:
    write_whole(tmp_path / "file", content)
    assert (tmp_path / "file").read_bytes() == content
    assert names(tmp_path) == ["file"]


def test_a_file_that_is_there_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old and longer")
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["file"]


def test_whoever_has_the_old_file_open_goes_on_reading_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with path.open("rb") as reader:
        try:
            write_whole(path, b"new content")
        except OutputError:  # Windows does not replace an open file
            assert os.name == "nt"
        assert reader.read() == b"old"


@pytest.mark.parametrize(
    "name",
    [
        "model.safetensors",
        ".hidden",
        "with space",
        "čeština.csv",
        pytest.param("x" * 255, marks=posix_only),
        pytest.param("語" * 85, marks=posix_only),
    ],
)
def test_any_name_that_a_file_may_have_will_do(tmp_path: Path, name: str) -> None:
    write_whole(tmp_path / name, b"new")
    assert names(tmp_path) == [name]


def test_a_relative_path_is_one_from_where_the_program_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_whole(Path("file"), b"new")
    assert (tmp_path / "file").read_bytes() == b"new"


# Where it fails


@pytest.mark.parametrize("exists", [False, True])
@pytest.mark.parametrize("call", ["fsync", "chmod", "replace"])
@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), OSError(errno.EIO, os.strerror(errno.EIO)), OSError("odd")],
    ids=["ENOSPC", "EIO", "no errno"],
)
def test_a_disk_that_fails_leaves_the_folder_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, error: OSError, exists: bool
) -> None:
    path = tmp_path / "file"
    if exists:
        path.write_bytes(b"old")
    monkeypatch.setattr(os, call, fail_with(error))
    with pytest.raises(OutputError) as caught:
        write_whole(path, b"new")
    assert isinstance(caught.value, XpmlpError)
    assert str(caught.value).startswith(f"{path}: cannot be written ({error.strerror or 'odd'}).")
    assert names(tmp_path) == (["file"] if exists else [])
    if exists:
        assert path.read_bytes() == b"old"


@posix_only
def test_a_file_larger_than_there_is_room_for_leaves_the_folder_as_it_was(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    path = tmp_path / "file"
    path.write_bytes(b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, limits[1]))
    try:
        with pytest.raises(OutputError, match="file: cannot be written \\(File too large\\)"):
            write_whole(path, bytes(2_000_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("call", ["fsync", "chmod", "replace"])
def test_ctrl_c_leaves_the_folder_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, call, fail_with(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_the_content_reaches_the_disk_before_the_file_takes_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[str, int]] = []
    fsync, replace = os.fsync, os.replace

    def watched_fsync(descriptor: int) -> None:
        calls.append(("fsync", os.fstat(descriptor).st_size))
        fsync(descriptor)

    def watched_replace(source: Any, target: Any) -> None:
        calls.append(("replace", os.stat(source).st_size))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(os, "replace", watched_replace)
    write_whole(tmp_path / "file", b"12345")
    assert calls == [("fsync", 5), ("replace", 5)]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"missing.file: cannot be written \(No such file or directory\)"):
        write_whole(tmp_path / "missing" / "file", b"new")
    assert names(tmp_path) == []


def test_a_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"old")
    with pytest.raises(OutputError, match=r"plain.file: cannot be written"):
        write_whole(tmp_path / "plain" / "file", b"new")
    assert (tmp_path / "plain").read_bytes() == b"old"


def test_a_folder_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_bytes(b"old")
    with pytest.raises(OutputError, match=r"folder: cannot be written \(it is not a regular file\)"):
        write_whole(tmp_path / "folder", b"new")
    assert names(tmp_path) == ["folder"]
    assert (tmp_path / "folder" / "file").read_bytes() == b"old"


@posix_only
def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    # Root, who may do so, would replace /dev/null by a file.
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OutputError, match=r"pipe: cannot be written \(it is not a regular file\)"):
        write_whole(pipe, b"new")
    assert pipe.is_fifo()
    assert names(tmp_path) == ["pipe"]


# Permissions and links


@posix_only
@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600), (0o000, 0o666)])
def test_a_file_is_as_readable_as_any_new_file(
    tmp_path: Path, umask: Callable[[int], int], mask: int, mode: int
) -> None:
    umask(mask)
    write_whole(tmp_path / "file", b"new")
    (tmp_path / "plain").write_bytes(b"new")
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == mode
    assert stat.S_IMODE((tmp_path / "plain").stat().st_mode) == mode
    assert current_umask() == mask


@posix_only
@pytest.mark.parametrize("exists", [True, False])
def test_a_link_stays_a_link_and_what_it_points_to_is_replaced(tmp_path: Path, exists: bool) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    target, link = tmp_path / "there" / "target", tmp_path / "here" / "link"
    if exists:
        target.write_bytes(b"old")
    link.symlink_to("../there/target")
    write_whole(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"
    assert (names(tmp_path / "here"), names(tmp_path / "there")) == (["link"], ["target"])


@posix_only
def test_links_in_a_circle_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OutputError, match="a: cannot be written"):
        write_whole(tmp_path / "a", b"new")
    assert names(tmp_path) == ["a", "b"]


@posix_only
def test_another_name_of_the_same_file_keeps_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    os.link(path, tmp_path / "other")
    write_whole(path, b"new")
    assert (tmp_path / "other").read_bytes() == b"old"
