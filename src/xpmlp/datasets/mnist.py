"""MNIST: from the user's folder, from the cache, or downloaded and verified by pooch."""

import functools
import hashlib
import logging
import os
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from xpmlp.errors import DataError
from xpmlp.optional_imports import import_optional

from .dataset import Dataset, Provenance
from .idx import CHUNK_BYTES, opened
from .idx_folder import FILE_NAMES, find_idx_files, missing_names, read_idx_files

LOGGER = logging.getLogger(__name__)
FOLDER_VARIABLE = "XPMLP_DATA_DIR"

MIRRORS = ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/")
# MD5 of the published files, uncompressed and as they are distributed, gzipped.
CONTENT_MD5 = {
    "train-images": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels": "a25bea736e30d166cdddb491f175f624",
    "test-images": "2646ac647ad5339dbf082846283269ea",
    "test-labels": "27ae3e4e09519cfbb04c329615203637",
}
GZIP_MD5 = {
    "train-images": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels": "d53e105ee54ea40749a09fcbcd1e9432",
    "test-images": "9fb629c4189551a2d022fa330f9573f3",
    "test-labels": "ec29112dd5afa0611ce80d1b7f02629c",
}
MD5 = functools.partial(hashlib.md5, usedforsecurity=False)
CONNECT_SECONDS = 3.0
READ_SECONDS = 20.0
UNREACHABLE = "no connection"


def load_mnist(data_dir: str | Path | None = None) -> Dataset:
    """Load the 70,000 handwritten digits of MNIST.

    The files are read from `data_dir` if it is given; else from the folder that the environment variable
    ``XPMLP_DATA_DIR`` names, if they are there; else from the user's cache, after downloading them if necessary.
    A folder may hold them itself or in a subfolder ``mnist``.

    Raises
    ------
    DataError
        If `data_dir` does not hold the files, or they are damaged, or cannot be downloaded.
    MissingDependencyError
        If the files are in neither folder, and pooch, which downloads them, is not installed.
    """
    if data_dir is not None:
        try:
            return read_users_files(find_mnist(Path(data_dir)))
        except FileNotFoundError as error:
            raise DataError(
                f"MNIST was not found: {error}. Put the files there, plain or .gz, or leave the folder out to download "
                "them."
            ) from error
    notes: tuple[str, ...] = ()
    if value := os.environ.get(FOLDER_VARIABLE):
        try:
            return read_users_files(find_mnist(Path(os.path.expanduser(value))))
        except FileNotFoundError as error:
            notes = (f"{FOLDER_VARIABLE} is set, but {error}; the downloaded MNIST was used instead.",)
    files, source = fetch_files(notes)
    dataset = read_idx_files(files, name="mnist", source=source, provenance=Provenance("mnist", "mnist"))
    return replace(dataset, notes=notes)


def find_mnist(folder: Path) -> dict[str, Path]:
    """Return the four files in a folder or in its subfolder ``mnist``; `FileNotFoundError` names those missing."""
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"{folder} is not a folder; it should hold {', '.join(FILE_NAMES.values())}")
    places = [place for place in (folder, folder / "mnist") if os.path.isdir(place)]
    files = max((find_idx_files(place).get("", {}) for place in places), key=len)
    if missing := missing_names("", files):
        are = "is" if len(missing) == 1 else "are"
        raise FileNotFoundError(f"{', '.join(missing)} {are} neither in {folder} nor in {folder / 'mnist'}")
    return files


def read_users_files(files: dict[str, Path]) -> Dataset:
    """Read the user's own files; content other than the published is noted."""
    folder = files["train-images"].parent
    provenance = Provenance("mnist", "mnist", data_dir=os.path.abspath(folder))
    dataset = read_idx_files(files, name="mnist", source=f"MNIST from the folder {folder}", provenance=provenance)
    different = [str(path) for role, path in files.items() if not is_published(path, role)]
    if not different:
        return dataset
    note = f"Not the published MNIST: {', '.join(different)} differ. Results are not comparable with others."
    return replace(dataset, notes=(*dataset.notes, note))


def is_published(path: Path, role: str) -> bool:
    """Return whether a file's content is that of the published file, however it is compressed."""
    with opened(path) as stream:
        return hashlib.file_digest(stream, MD5).hexdigest() == CONTENT_MD5[role]


def cache_folder() -> Path:
    """Return the folder of downloaded files."""
    pooch = import_optional("pooch", extra="cli", purpose="Downloading MNIST")
    return Path(pooch.os_cache("xpmlp")) / "mnist"


def fetch_files(notes: tuple[str, ...]) -> tuple[dict[str, Path], str]:
    """Return the four files in the cache, verified, and their source in words.

    Missing and damaged files are downloaded, each from the first mirror that has the right one.
    """
    cache = cache_folder()
    files = {role: cache / f"{name}.gz" for role, name in FILE_NAMES.items()}
    missing, used, problems = dict(files), list[str](), list[str]()
    try:
        for mirror in MIRRORS:
            for role, path in list(missing.items()):
                if problem := fetch(mirror, path, GZIP_MD5[role], used):
                    problems.append(f"  {mirror}{path.name}: {problem}")
                else:
                    del missing[role]
                if problem.startswith(UNREACHABLE):
                    break
    except OSError as error:
        reason = error.strerror or error
        raise DataError(f"{cache}: the cache folder cannot be used ({reason}). {manual_download()}") from error
    if missing:
        raise DataError("\n".join(("MNIST could not be downloaded:", *problems, *notes, manual_download())))
    sources = " and ".join(dict.fromkeys(used))
    return files, f"MNIST, downloaded from {sources} into {cache}" if used else f"MNIST from the cache {cache}"


def fetch(mirror: str, path: Path, known_hash: str, used: list[str]) -> str:
    """Put a file into the cache unless it is there, and note a mirror that has it; return what went wrong."""
    pooch = import_optional("pooch", extra="cli", purpose="Downloading MNIST")
    requests = import_optional("requests", extra="cli", purpose="Downloading MNIST")

    def download(url: str, output: Any, registry: Any) -> None:
        if problem := find_connection_problem(url):
            raise requests.ConnectionError(problem)
        LOGGER.info("Downloading %s", url)
        pooch.HTTPDownloader(
            timeout=(CONNECT_SECONDS, READ_SECONDS), chunk_size=CHUNK_BYTES, headers={"Accept-Encoding": "identity"}
        )(url, output, registry)
        used.append(mirror)

    logger = pooch.get_logger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        pooch.retrieve(f"{mirror}{path.name}", f"md5:{known_hash}", path.name, path.parent, downloader=download)
    except requests.HTTPError as error:
        return f"the server answered {error.response.status_code} {error.response.reason}"
    except requests.RequestException as error:
        text = str(error)
        return text if text.startswith(UNREACHABLE) else f"the download failed ({type(error).__name__})"
    except ValueError:
        used.pop()
        return "the content is not that of the published file (its MD5 differs)"
    finally:
        logger.setLevel(level)
    return ""


def find_connection_problem(url: str) -> str:
    """Return why a server cannot be reached; nothing if it can.

    requests tries all addresses of a server, which takes a minute behind a firewall that drops packets. This tries at
    most one address of each family, IPv4 and IPv6.
    """
    requests = import_optional("requests", extra="cli", purpose="Downloading MNIST")
    if requests.utils.select_proxy(url, requests.utils.get_environ_proxies(url)):
        return ""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    reason = "no address"
    try:
        addresses = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    except OSError as error:
        return f"{UNREACHABLE} ({error.strerror or error})"
    for _, _, _, _, address in {entry[0]: entry for entry in reversed(addresses)}.values():
        try:
            socket.create_connection((str(address[0]), port), CONNECT_SECONDS).close()
        except OSError as error:
            reason = error.strerror or str(error)
        else:
            return ""
    return f"{UNREACHABLE} ({reason})"


def manual_download() -> str:
    """Return how to download the files without this program."""
    urls = "\n".join(f"  {MIRRORS[0]}{name}.gz" for name in FILE_NAMES.values())
    others = "".join(f" (also at {mirror})" for mirror in MIRRORS[1:])
    return (
        f"Download these four files{others}:\n{urls}\n"
        f"into one folder, and name it with --data-dir FOLDER or the environment variable {FOLDER_VARIABLE}."
    )
