import contextlib
import functools
import gzip
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as numpy_strategies

from xpmlp.datasets import read_idx
from xpmlp.errors import DataError

DTYPES = ("uint8", "int8", "int16", "int32", "float32", "float64")
arrays = st.sampled_from(DTYPES).flatmap(
    lambda dtype: numpy_strategies.arrays(
        dtype, numpy_strategies.array_shapes(min_dims=1, max_dims=5, min_side=0, max_side=5)
    )
)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One path to write each example to."""
    return tmp_path_factory.mktemp("idx") / "scratch"


@given(array=arrays, compress=st.booleans())
def test_every_type_and_shape_is_read_as_it_was_written(
    scratch: Path, idx_bytes: Callable[[np.ndarray], bytes], array: np.ndarray, compress: bool
) -> None:
    content = idx_bytes(array)
    scratch.write_bytes(gzip.compress(content) if compress else content)
    result = read_idx(scratch)
    assert result.dtype == array.dtype
    assert result.dtype.isnative
    assert result.flags.writeable
    np.testing.assert_array_equal(result, array)


@given(
    array=arrays,
    compress=st.booleans(),
    mutations=st.lists(st.tuples(st.integers(0, 10**4), st.integers(0, 255)), max_size=3),
    length=st.one_of(st.none(), st.integers(0, 200)),
    tail=st.binary(max_size=20),
)
def test_damage_is_refused_or_gives_the_shape_in_the_header_but_never_crashes(
    scratch: Path,
    idx_bytes: Callable[[np.ndarray], bytes],
    array: np.ndarray,
    compress: bool,
    mutations: list[tuple[int, int]],
    length: int | None,
    tail: bytes,
) -> None:
    content = bytearray(gzip.compress(idx_bytes(array)) if compress else idx_bytes(array))
    for position, value in mutations:
        content[position % len(content)] = value
    scratch.write_bytes(bytes(content[:length]) + tail)
    with contextlib.suppress(DataError):
        result = read_idx(scratch)
        content = bytearray(scratch.read_bytes())
        content = bytearray(gzip.decompress(content)) if content[:2] == b"\x1f\x8b" else content
        assert result.shape == struct.unpack_from(f">{content[3]}I", content, 4)
        assert len(content) == 4 + 4 * content[3] + result.nbytes


GOOD = bytes([0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6])
compress = functools.partial(gzip.compress, mtime=0)  # the time would be in the names of tests


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "not an IDX file: it is empty"),
        (b"\0\0\x08", "not an IDX file: it starts with the bytes 00 00 08"),
        (b"<!DOCTYPE html><html>", "an HTML page"),
        (b"\n  <html lang='en'>", "an HTML page"),
        (b"<?xml version='1.0'?><Error>", "an XML document"),
        (b"PK\x03\x04\x14\0\0\0", "a zip archive"),
        (b"\x89PNG\r\n\x1a\n", "a PNG picture"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"label,pixel0,pixel1\n5,0,0\n", "text, 'label,pixel0"),
        (b"\x01\x02\x03\x04rest", "it starts with the bytes 01 02 03 04"),
        (compress(compress(GOOD)), "a gzip file within a gzip file"),
        (b"\0\0\x07\x01\0\0\0\0", r"unknown IDX element type 0x07\. Known are 0x08 \(uint8\), .*0x0e \(float64\)"),
        (b"\0\0\x08\0", "0 dimensions"),
        (b"\0\0\x08\x03\0\0\0\x01", "ends within its header, after 8 bytes of 16"),
        (GOOD[:-1], r"cut short\. .* uint8 of shape \[2, 3\], which takes 6 bytes, but 5 follow"),
        (GOOD + b"!!", "too long.* takes 6 bytes, but more than 6 follow"),
        (compress(GOOD[:-2]), "cut short.* takes 6 bytes, but 4 follow"),
        (compress(GOOD + b"!!!"), "too long.* takes 6 bytes, but more than 6 follow"),
        (compress(GOOD)[:-9], "damaged or incomplete gzip"),
        (compress(GOOD)[:5], "damaged or incomplete gzip"),
        (compress(GOOD) + b"garbage", "damaged or incomplete gzip"),
        (compress(GOOD)[:-8] + bytes(8), "damaged or incomplete gzip"),
        (compress(GOOD)[:10] + b"\xff" * 30, "damaged or incomplete gzip"),
        (b"\0\0\x08\xff" + bytes(4 * 255), "a shape that no array can have"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_with_its_name(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(content)
    with pytest.raises(DataError, match=expected) as caught:
        read_idx(path)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
@pytest.mark.parametrize(
    ("sizes", "length"),
    [((2**31, 28, 28), 100), ((2**32 - 1,) * 3, 100), ((0, *(2**32 - 1,) * 3), 0), ((1,), 50 * 2**20)],
    ids=["huge", "huger", "no array", "far more than it says"],
)
def test_absurd_sizes_are_refused_in_little_memory(
    tmp_path: Path, compress: Callable[[bytes], bytes], sizes: tuple[int, ...], length: int
) -> None:
    path = tmp_path / "huge"
    path.write_bytes(compress(bytes([0, 0, 0x0E, len(sizes)]) + struct.pack(f">{len(sizes)}I", *sizes) + bytes(length)))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=r"cut short|no array can have|too long"):
            read_idx(path)
        assert tracemalloc.get_traced_memory()[1] < 10 * 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/nothing-here", "no such file"),
        ("/", "is a folder"),
        ("/dev/zero", "not a regular file"),
        ("/proc/self/mem", r"cannot be read \(Input/output error\)"),
    ],
)
def test_what_is_no_readable_file_is_named_with_the_reason(path: str, message: str) -> None:
    if path != "/nothing-here" and not Path(path).exists():
        pytest.skip(f"needs {path}")
    with pytest.raises(DataError, match=f"{path}: {message}"):
        read_idx(path)
