"""The text of a file, plain or gzipped, within stated limits; text into a file, whole or not."""

import gzip
import os
import re
import secrets
import stat
import zlib
from pathlib import Path

from probgen.reasoning.names import GraphError, shown

LARGEST = 1 << 27
"""Bytes of text that are read at most."""

_DECLARED = re.compile(rb"""\s*<\?xml[^>]{0,200}?encoding\s*=\s*["']([\w.-]{1,40})["']""")
_KNOWN = re.compile(
    r"(?i)utf-?8|utf-?16([bl]e)?|us-ascii|(iso-?8859|windows-|cp)-?\d{1,4}|latin-?1"
)


def text(path: Path, encoding: str | None = None) -> str:
    """The file as text; a gzipped file may unpack to at most 64 times its size plus 1 MiB.

    Without an encoding it is UTF-8, or UTF-16 if it begins with its mark, or what an XML file
    declares.

    Raises:
        GraphError: no such file, no plain file (a folder, a pipe, a device), of another
            encoding, not gzip, or too large (the size is stated).
    """
    where = shown(path)[:200]
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise GraphError(f"{where}: expected a file; got {_kind(status.st_mode)}")
        if status.st_size > LARGEST:
            raise GraphError(
                f"{where}: expected at most {LARGEST:,} bytes; got {status.st_size:,}"
            )
        return _decoded(_bytes(path, status.st_size), encoding, where)
    except (zlib.error, EOFError, gzip.BadGzipFile) as error:
        raise GraphError(f"{where}: expected a gzip file; got {error}") from None
    except GraphError:
        raise
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise GraphError(f"{where}: cannot be read: {reason}") from None


def _kind(mode: int) -> str:
    kinds = {"a folder": stat.S_ISDIR, "a named pipe": stat.S_ISFIFO, "a socket": stat.S_ISSOCK}
    return next((kind for kind, is_kind in kinds.items() if is_kind(mode)), "a device")


def _bytes(path: Path, size: int) -> bytes:
    if not path.name.lower().endswith(".gz"):
        with open(path, "rb") as plain:
            return plain.read(LARGEST)
    limit = min(LARGEST, 64 * size + (1 << 20))
    with gzip.open(path) as stream:
        data = stream.read(limit + 1)
    if len(data) > limit:
        raise GraphError(
            f"{shown(path)}: expected {size:,} gzipped bytes to unpack to at most {limit:,}; "
            "got more: if you trust the file, unpack it yourself"
        )
    return data


def _decoded(data: bytes, encoding: str | None, where: str) -> str:
    if encoding is None:
        encoding = _encoding(data)
    try:
        decoded = data.decode(encoding)
    except UnicodeDecodeError as error:
        byte, at = error.object[error.start], error.start
        name = encoding.upper().removesuffix("-SIG")
        raise GraphError(
            f"{where}: expected {name} text; got byte {byte:#04x} at {at:,}: pass encoding=, "
            "as 'cp1252' or 'latin-1'"
        ) from None
    except LookupError as error:
        raise GraphError(f"{where}: expected a known encoding; got {error}") from None
    return decoded.removeprefix("\ufeff")


def _encoding(data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    declared = _DECLARED.match(data.removeprefix(b"\xef\xbb\xbf"))
    name = declared[1].decode() if declared else "utf-8"
    return name if _KNOWN.fullmatch(name) else "utf-8"


def write(path: Path, text: str) -> None:
    """Write a file whole or not at all, gzipped if its name says so; what was there is replaced.

    Raises:
        GraphError: it cannot be written.
    """
    try:
        data = text.encode("utf-8")
        if path.name.lower().endswith(".gz"):
            data = gzip.compress(data, mtime=0)
        beside = path.with_name(f"{path.name}.{secrets.token_hex(8)}.part")
        try:
            with open(beside, "xb") as file:
                file.write(data)
            os.replace(beside, path)
        finally:
            beside.unlink(missing_ok=True)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise GraphError(f"{shown(path)[:200]}: cannot be written: {reason}") from None
