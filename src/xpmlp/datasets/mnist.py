"""MNIST: from a folder of the user's, from the user's cache, or downloaded and verified."""

import gzip
import hashlib
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import BufferedIOBase
from pathlib import Path
from urllib.parse import urlsplit

from xpmlp.errors import DataError
from xpmlp.optional_imports import import_optional

from .dataset import Dataset, Provenance
from .idx import CHUNK_BYTES, GZIP_MAGIC
from .idx_folder import ROLES, find_idx_files, missing_names, read_idx_files

LOGGER = logging.getLogger(__name__)
FOLDER_VARIABLE = "XPMLP_DATA_DIR"

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
FILE_NAMES = dict(zip(ROLES, missing_names("", {}), strict=True))
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
CONNECT_SECONDS = 3.0
READ_SECONDS = 20.0


def load_mnist(data_dir: str | Path | None = None) -> Dataset:
    """The 70,000 handwritten digits of MNIST.

    The files are taken from `data_dir` where it is given; else from the folder that the environment variable
    ``XPMLP_DATA_DIR`` names, if they are there; else from the user's cache, into which they are downloaded if need be.
    A folder may hold them itself or in a subfolder ``mnist``.

    Raises
    ------
    DataError
        Where `data_dir` does not hold the files, or they are damaged, or cannot be downloaded.
    MissingDependencyError
        Where they are neither in `data_dir` nor in ``XPMLP_DATA_DIR``, and pooch, which downloads, is not installed.
    """
    if data_dir is not None:
        data_dir = Path(data_dir)
        files = find_mnist(data_dir)
        if files is None:
            message = f"MNIST was not found: {searched(data_dir)}. Put the files there, plain or .gz"
            raise DataError(f"{message}, or leave the folder out to download them.")
        return read_users_files(files)

    notes: tuple[str, ...] = ()
    value = os.environ.get(FOLDER_VARIABLE)
    if value:
        folder = Path(os.path.expanduser(value))
        files = find_mnist(folder)
        if files is not None:
            return read_users_files(files)
        notes = (f"{FOLDER_VARIABLE} was set, but {searched(folder)}; the downloaded MNIST was used instead.",)

    files, source = cached_files(looked_before=notes)
    return read_idx_files(files, name="mnist", source=source, provenance=Provenance("mnist", "mnist"), notes=notes)


def find_mnist(folder: Path) -> dict[str, Path] | None:
    """The four files in a folder or in its subfolder ``mnist``, or None."""
    for place in (folder, folder / "mnist"):
        if os.path.isdir(place):
            files = find_idx_files(place).get("", {})
            if not missing_names("", files):
                return files
    return None


def searched(folder: Path) -> str:
    """Which files were looked for and are not there, as a clause."""
    if not os.path.isdir(folder):
        return f"{folder} is not a folder; it was searched for {', '.join(FILE_NAMES.values())}"
    places = [place for place in (folder, folder / "mnist") if os.path.isdir(place)]
    missing = min((missing_names("", find_idx_files(place).get("", {})) for place in places), key=len)
    return f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} neither in {folder} nor in {folder / 'mnist'}"


def read_users_files(files: dict[str, Path]) -> Dataset:
    """Read files that are the user's own; content other than the published is allowed, but noted."""
    folder = files["train-images"].parent
    provenance = Provenance("mnist", "mnist", data_dir=os.path.abspath(folder))
    dataset = read_idx_files(files, name="mnist", source=f"MNIST from the folder {folder}", provenance=provenance)
    different = [str(path) for role, path in files.items() if not is_published(path, role)]
    if not different:
        return dataset
    note = f"Not the published MNIST: the content differs in {', '.join(different)}. Its results do not compare."
    return replace(dataset, notes=(*dataset.notes, note))


def is_published(path: Path, role: str) -> bool:
    """Whether a file's content is that of the published file, however it is compressed."""
    with open(path, "rb") as file:
        is_gzip = file.peek(2)[:2] == GZIP_MAGIC
        digest = md5_of(file)
        if digest in (CONTENT_MD5[role], GZIP_MD5[role]):
            return True
        if not is_gzip:
            return False
        file.seek(0)
        with gzip.GzipFile(fileobj=file) as stream:
            return md5_of(stream) == CONTENT_MD5[role]


def md5_of(stream: BufferedIOBase) -> str:
    """The MD5 digest of what a stream still holds, read in chunks."""
    digest = hashlib.md5(usedforsecurity=False)
    while chunk := stream.read(CHUNK_BYTES):
        digest.update(chunk)
    return digest.hexdigest()


def cache_folder() -> Path:
    """Where downloaded files are kept."""
    pooch = import_optional("pooch", extra="cli", purpose="Downloading MNIST")
    return Path(pooch.os_cache("xpmlp")) / "mnist"


def cached_files(*, looked_before: tuple[str, ...]) -> tuple[dict[str, Path], str]:
    """The four verified files in the cache, downloaded where they are missing or damaged, and their source in words."""
    cache = cache_folder()
    files = {role: cache / f"{name}.gz" for role, name in FILE_NAMES.items()}
    try:
        wanted = [role for role, path in files.items() if not is_verified(path, GZIP_MD5[role])]
        used = download(wanted, cache, looked_before=looked_before)
    except OSError as error:
        message = (
            f"{cache}: the cache folder for downloads cannot be used ({error.strerror or error}). {by_hand_message()}"
        )
        raise DataError(message) from error
    if used:
        return files, f"MNIST, downloaded from {' and '.join(used)} into {cache}"
    return files, f"MNIST from the cache {cache}"


def is_verified(path: Path, md5: str) -> bool:
    """Whether a file is there and whole; one that is damaged is removed."""
    try:
        with open(path, "rb") as file:
            if md5_of(file) == md5:
                return True
    except FileNotFoundError:
        return False
    path.unlink()
    return False


def download(roles: list[str], cache: Path, *, looked_before: tuple[str, ...]) -> list[str]:
    """Fetch files into the cache, each from the first mirror that gives the right one; return the mirrors used."""
    unreachable: dict[str, str] = {}
    used = []
    for role in roles:
        problems = []
        for mirror in MIRRORS:
            url = f"{mirror}{FILE_NAMES[role]}.gz"
            # A mirror that does not answer is not asked again, so that a missing network is reported within seconds.
            if mirror not in unreachable:
                reason = unreachable_because(url)
                if reason is not None:
                    unreachable[mirror] = reason
            problem = unreachable.get(mirror) or download_problem(url, cache, GZIP_MD5[role])
            if problem is None:
                used.append(mirror)
                break
            problems.append(f"  {url}: {problem}")
        else:
            lines = ("MNIST could not be downloaded:", *problems, *looked_before, by_hand_message())
            raise DataError("\n".join(lines))
    return list(dict.fromkeys(used))


def download_problem(url: str, cache: Path, md5: str) -> str | None:
    """Download and verify one file; what went wrong, or None. Nothing is left behind where something did."""
    pooch = import_optional("pooch", extra="cli", purpose="Downloading MNIST")
    requests = import_optional("requests", extra="cli", purpose="Downloading MNIST")
    LOGGER.info("Downloading %s", url)
    downloader = pooch.HTTPDownloader(
        timeout=(CONNECT_SECONDS, READ_SECONDS), chunk_size=CHUNK_BYTES, headers={"Accept-Encoding": "identity"}
    )
    try:
        with quiet(pooch.get_logger()):
            pooch.retrieve(url, f"md5:{md5}", fname=url.rsplit("/", 1)[-1], path=cache, downloader=downloader)
    except requests.HTTPError as error:
        return f"the server answered {error.response.status_code} {error.response.reason}"
    except requests.RequestException as error:
        return f"the download failed ({type(error).__name__})"
    except ValueError:
        return "the content is not that of the published file (its MD5 differs)"
    return None


def unreachable_because(url: str) -> str | None:
    """Why a server cannot be reached, or None.

    requests waits for each of a server's addresses in turn, which adds up to a minute behind a firewall that drops
    packets; here at most one address of each kind, IPv4 and IPv6, is tried.
    """
    requests = import_optional("requests", extra="cli", purpose="Downloading MNIST")
    if requests.utils.select_proxy(url, requests.utils.get_environ_proxies(url)):
        return None
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    reason = "no address"
    try:
        addresses = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
        for family, kind, protocol, _, address in {entry[0]: entry for entry in reversed(addresses)}.values():
            with socket.socket(family, kind, protocol) as connection:
                connection.settimeout(CONNECT_SECONDS)
                try:
                    connection.connect(address)
                except OSError as error:
                    reason = error.strerror or str(error)
                else:
                    return None
    except OSError as error:
        reason = error.strerror or str(error)
    return f"no connection ({reason})"


@contextmanager
def quiet(logger: logging.Logger) -> Iterator[None]:
    """Hold a logger's messages back, save errors."""
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def by_hand_message() -> str:
    """How to come by the files without this program."""
    urls = "\n".join(f"  {MIRRORS[0]}{name}.gz" for name in FILE_NAMES.values())
    others = "".join(f" (also at {mirror})" for mirror in MIRRORS[1:])
    return (
        f"Fetch these four files{others}:\n{urls}\n"
        f"put them into one folder, and name it: --data-dir FOLDER, or the environment variable {FOLDER_VARIABLE}."
    )
