import gzip
import hashlib
import http.server
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest

from xpmlp.datasets import load_mnist, mnist
from xpmlp.datasets.idx_folder import FILE_NAMES
from xpmlp.errors import DataError

Folder = Callable[..., Path]
ROLE_OF = {name: role for role, name in FILE_NAMES.items()}


def gz(name: str) -> str:
    return f"{name}.gz"


@pytest.fixture(autouse=True)
def nothing_of_the_machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither this machine's data, cache nor proxies, nor the real mirrors."""
    monkeypatch.delenv("XPMLP_DATA_DIR", raising=False)
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr(mnist, "cache_folder", lambda: tmp_path / "cache" / "mnist")
    monkeypatch.setattr(mnist, "MIRRORS", (closed_server(),))


@pytest.fixture
def published(
    small_mnist: dict[str, np.ndarray], idx_bytes: Callable[[np.ndarray], bytes], monkeypatch: pytest.MonkeyPatch
) -> dict[str, bytes]:
    """The small dataset's gzipped files, declared to be what MNIST publishes."""
    files = {}
    for name, array in small_mnist.items():
        content = idx_bytes(array)
        files[gz(name)] = gzip.compress(content, mtime=0)
        monkeypatch.setitem(mnist.CONTENT_MD5, ROLE_OF[name], hashlib.md5(content).hexdigest())
        monkeypatch.setitem(mnist.GZIP_MD5, ROLE_OF[name], hashlib.md5(files[gz(name)]).hexdigest())
    return files


class Mirror:
    """A web server on this machine that gives what `files` holds and notes what was asked for."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.requests: list[str] = []
        mirror = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name = self.path.rsplit("/", 1)[-1]
                mirror.requests.append(name)
                if name not in mirror.files:
                    self.send_error(404)
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(mirror.files[name])))
                # As some servers do, which makes a client unpack what it should keep packed.
                if "gzip" in self.headers.get("Accept-Encoding", ""):
                    self.send_header("Content-Encoding", "gzip")
                self.end_headers()
                self.wfile.write(mirror.files[name])

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/mnist/"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def stop(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., list[Mirror]]]:
    """A function that starts a mirror for each dictionary of files, and makes them the mirrors."""
    started: list[Mirror] = []

    def start(*contents: dict[str, bytes]) -> list[Mirror]:
        started.extend(Mirror(files) for files in contents)
        monkeypatch.setattr(mnist, "MIRRORS", tuple(mirror.url for mirror in started))
        return started

    yield start
    for mirror in started:
        mirror.stop()


def closed_server() -> str:
    """The address of a server that refuses connections."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{listener.getsockname()[1]}/"


def cached() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in mnist.cache_folder().iterdir()}


def test_the_files_are_found_in_the_folder_given_its_subfolder_or_the_variables_folder(
    make_folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, published: dict[str, bytes]
) -> None:
    variable, other = make_folder("variable"), make_folder("other/mnist", gz)
    monkeypatch.setenv("XPMLP_DATA_DIR", str(variable))
    for data_dir, folder in ((None, variable), (other, other), (tmp_path / "other", other)):
        dataset = load_mnist(data_dir)
        assert (dataset.name, dataset.train.x.shape, dataset.notes) == ("mnist", (12, 12), ())
        assert dataset.source == f"MNIST from the folder {folder}"


@pytest.mark.parametrize("rename", [str, gz])
def test_content_other_than_the_published_is_noted_however_it_is_compressed(
    make_folder: Folder, rename: Callable[[str], str], published: dict[str, bytes]
) -> None:
    folder = make_folder("mine", rename, t10k_images=np.zeros((6, 4, 3), np.uint8))
    for path in folder.glob("*.gz"):
        path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()), compresslevel=1, mtime=5))
    (note,) = load_mnist(folder).notes
    assert note.startswith(f"Not the published MNIST: {folder / rename('t10k-images-idx3-ubyte')} differ.")


def test_a_given_folder_without_the_files_is_an_error_never_a_download(
    tmp_path: Path, make_folder: Folder, serve: Callable[..., list[Mirror]], published: dict[str, bytes]
) -> None:
    (mirror,) = serve(published)
    part = make_folder("part", lambda name: None if "t10k-labels" in name else name)
    for folder, message in (
        (tmp_path, rf"train-images-idx3-ubyte, .* are neither in {tmp_path} nor in {tmp_path / 'mnist'}\."),
        (part, "not found: t10k-labels-idx1-ubyte is neither in"),
        (tmp_path / "nowhere", "nowhere is not a folder; it should hold train-images-idx3-ubyte, "),
    ):
        with pytest.raises(DataError, match=message):
            load_mnist(folder)
    assert mirror.requests == []


def test_files_are_downloaded_once_and_then_taken_from_the_cache(
    serve: Callable[..., list[Mirror]],
    published: dict[str, bytes],
    small_mnist: dict[str, np.ndarray],
    capfd: pytest.CaptureFixture[str],
) -> None:
    first, second = serve(published, published)
    dataset = load_mnist()
    assert "downloaded from" in dataset.source
    assert dataset.notes == ()
    np.testing.assert_array_equal(dataset.test.labels, small_mnist["t10k-labels-idx1-ubyte"])
    assert sorted(first.requests) == sorted(published)
    assert cached() == published

    again = load_mnist()
    assert "cache" in again.source
    np.testing.assert_array_equal(again.train.x, dataset.train.x)
    assert len(first.requests) == 4
    assert second.requests == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("content", [None, b"\x1f\x8b\x08 cut short", b"<html>Please log in</html>"])
def test_a_file_that_the_first_mirror_lacks_or_has_wrong_comes_from_the_second(
    serve: Callable[..., list[Mirror]], published: dict[str, bytes], content: bytes | None
) -> None:
    name = "t10k-images-idx3-ubyte.gz"
    others = {other: published[other] for other in published if other != name}
    first, second = serve(others if content is None else {**others, name: content}, published)
    assert f"downloaded from {first.url} and {second.url} into" in load_mnist().source
    assert second.requests == [name]
    assert cached() == published


def test_a_mirror_that_does_not_answer_is_asked_only_once_and_a_damaged_file_is_fetched_again(
    serve: Callable[..., list[Mirror]], published: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    (mirror,) = serve(published)
    dead, connect = closed_server(), Mock(wraps=mnist.find_connection_problem)
    monkeypatch.setattr(mnist, "MIRRORS", (dead, mirror.url))
    monkeypatch.setattr(mnist, "find_connection_problem", connect)
    assert load_mnist().source.startswith(f"MNIST, downloaded from {mirror.url} into")
    assert [url for (url,), _ in connect.call_args_list if dead in url] == [f"{dead}train-images-idx3-ubyte.gz"]

    mirror.requests.clear()
    path = mnist.cache_folder() / "train-labels-idx1-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-3])
    load_mnist()
    assert mirror.requests == ["train-labels-idx1-ubyte.gz"]
    assert cached() == published


def test_where_both_mirrors_are_wrong_what_was_good_stays_and_what_was_bad_does_not(
    serve: Callable[..., list[Mirror]], published: dict[str, bytes]
) -> None:
    bad = "t10k-images-idx3-ubyte.gz"
    wrong = {**published, bad: b"wrong"}
    first, second = serve(wrong, {name: content for name, content in published.items() if name != bad})
    with pytest.raises(DataError) as caught:
        load_mnist()
    message = str(caught.value)
    assert f"{first.url}{bad}: the content is not that of the published file" in message
    assert f"{second.url}{bad}: the server answered 404 Not Found" in message
    assert_says_how_to_help_oneself(message)
    assert cached() == {name: content for name, content in published.items() if name != bad}

    first.files = published
    first.requests.clear()
    load_mnist()
    assert first.requests == [bad]


def test_without_a_network_the_cache_serves_or_the_error_comes_at_once_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, published: dict[str, bytes]
) -> None:
    monkeypatch.setattr(mnist, "MIRRORS", (closed_server(), closed_server()))
    monkeypatch.setenv("XPMLP_DATA_DIR", str(tmp_path / "nowhere"))
    start = time.perf_counter()
    with pytest.raises(DataError, match=r"no connection(.|\n)*nowhere is not a folder") as caught:
        load_mnist()
    assert time.perf_counter() - start < 5
    assert_says_how_to_help_oneself(str(caught.value))
    assert "no connection" in mnist.find_connection_problem("https://mirror.invalid/mnist/")
    mnist.cache_folder().mkdir(parents=True, exist_ok=True)
    for name, content in published.items():
        (mnist.cache_folder() / name).write_bytes(content)
    dataset = load_mnist()
    assert dataset.source == f"MNIST from the cache {mnist.cache_folder()}"
    assert dataset.notes[0].startswith(f"XPMLP_DATA_DIR is set, but {tmp_path}/nowhere is not a folder")


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file in the cache's place")
    with pytest.raises(DataError, match="cache folder cannot be used") as caught:
        load_mnist()
    assert_says_how_to_help_oneself(str(caught.value))


@pytest.mark.parametrize("hangs_up", [True, False])
def test_a_server_that_hangs_up_or_falls_silent_is_given_up(monkeypatch: pytest.MonkeyPatch, hangs_up: bool) -> None:
    monkeypatch.setattr(mnist, "READ_SECONDS", 0.2)

    def hang_up(listener: socket.socket) -> None:
        for _ in range(2):  # the check of the connection, and the request
            listener.accept()[0].close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setattr(mnist, "MIRRORS", (f"http://127.0.0.1:{listener.getsockname()[1]}/",))
        thread = threading.Thread(target=hang_up, args=(listener,), daemon=True)
        if hangs_up:
            thread.start()
        with pytest.raises(DataError, match="the download failed") as caught:
            load_mnist()
    assert_says_how_to_help_oneself(str(caught.value))


def assert_says_how_to_help_oneself(message: str) -> None:
    for name in FILE_NAMES.values():
        assert f"{mnist.MIRRORS[0]}{name}.gz" in message
    for text in (*mnist.MIRRORS, "--data-dir FOLDER", "XPMLP_DATA_DIR"):
        assert text in message


REAL_DATA = os.environ.get("XPMLP_DATA_DIR", "")


@pytest.mark.skipif(not REAL_DATA, reason="needs MNIST in the folder that XPMLP_DATA_DIR names")
def test_the_real_mnist_is_recognised_and_whole() -> None:
    dataset = load_mnist(Path(REAL_DATA))
    assert (dataset.train.rows, dataset.test.x.shape, dataset.input_shape) == (60_000, (10_000, 784), (28, 28))
    assert (dataset.classes, dataset.notes) == (tuple(range(10)), ())
    # The training images' mean and the first labels, as they are widely published.
    assert dataset.train.x.mean(dtype=np.float64) == pytest.approx(0.1307, abs=5e-5)
    assert dataset.train.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
