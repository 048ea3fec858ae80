"""Redirect functions of a loaded ELF library to others."""

import ctypes
import mmap
import os
import struct
from pathlib import Path
from typing import Any, NamedTuple

JUMP_BYTES = 24  # at most, of the machine code that is written over a function
READ, WRITE, EXECUTE = 1, 2, 4


class Symbol(NamedTuple):
    """A symbol of an ELF file."""

    name: str
    address: int
    size: int


def symbols(path: Path, table: str) -> list[Symbol]:
    """Return the symbols in one of a file's tables, ``".symtab"`` or ``".dynsym"``."""
    data = path.read_bytes()
    if data[:6] != b"\x7fELF\x02\x01":
        raise ValueError(f"{path} is not a little-endian 64-bit ELF file.")
    start, entry, count, names = (*struct.unpack_from("<Q", data, 40), *struct.unpack_from("<HHH", data, 58))
    # name, type, flags, address, offset, size, link, info, alignment, entry size
    sections = [struct.unpack_from("<IIQQQQIIQQ", data, start + i * entry) for i in range(count)]

    def text(strings: tuple[int, ...], offset: int) -> str:
        begin = strings[4] + offset
        return data[begin : data.index(b"\0", begin)].decode()

    found = []
    for section in sections:
        if text(sections[names], section[0]) == table:
            for offset in range(section[4], section[4] + section[5], section[9]):
                name, _, _, _, address, size = struct.unpack_from("<IBBHQQ", data, offset)
                found.append(Symbol(text(sections[section[6]], name), address, size))
    return found


def load_address(path: Path) -> int:
    """Return the address at which a library is loaded."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        fields = line.split(maxsplit=5)
        if len(fields) == 6 and fields[5] == str(path.resolve()):
            return int(fields[0].split("-")[0], 16) - int(fields[2], 16)
    raise ValueError(f"{path} is not loaded.")


def write_jump(address: int, target: Any, argument: Any = None) -> None:
    """Write a jump to a function over the code at an address, with a buffer as its first argument if given."""
    code = b""
    if argument is not None:
        code = b"\x48\xbf" + ctypes.addressof(argument).to_bytes(8, "little")  # mov rdi, argument
    pointer = ctypes.cast(target, ctypes.c_void_p).value
    assert pointer is not None
    code += b"\x48\xb8" + pointer.to_bytes(8, "little") + b"\xff\xe0"  # mov rax, target; jmp rax
    page = address // mmap.PAGESIZE * mmap.PAGESIZE
    length = ctypes.c_size_t(address + len(code) - page)
    protect(page, length, READ | WRITE | EXECUTE)
    ctypes.memmove(address, code, len(code))
    protect(page, length, READ | EXECUTE)


def protect(page: int, length: Any, mode: int) -> None:
    """Change the protection of pages."""
    if ctypes.CDLL(None, use_errno=True).mprotect(ctypes.c_void_p(page), length, mode):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
