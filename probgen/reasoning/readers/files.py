"""The text of a file, plain or gzipped, within stated limits."""

import gzip
import zlib
from pathlib import Path

from probgen.graph import GraphError

LARGEST = 1 << 28
"""Bytes of text that are read at most."""


def text(path: Path) -> str:
    """The file as text; a gzipped file may unpack to at most 64 times its size plus 1 MiB.

    Raises:
        GraphError: no such file, not UTF-8, not gzip, or too large (the size is stated).
    """
    try:
        size = path.stat().st_size
        if size > LARGEST:
            raise GraphError(f"{path}: expected at most {LARGEST:,} bytes; got {size:,}")
        data = _unpacked(path, size) if path.suffix == ".gz" else path.read_bytes()
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise GraphError(f"{path}: expected UTF-8 text; got byte {error.start}") from None
    except (zlib.error, EOFError, gzip.BadGzipFile) as error:
        raise GraphError(f"{path}: expected a gzip file; got {error}") from None
    except OSError as error:
        raise GraphError(f"{path}: cannot be read: {error.strerror or error}") from None


def _unpacked(path: Path, size: int) -> bytes:
    limit = min(LARGEST, 64 * size + (1 << 20))
    with gzip.open(path) as stream:
        data = stream.read(limit + 1)
    if len(data) > limit:
        raise GraphError(
            f"{path}: expected {size:,} gzipped bytes to unpack to at most {limit:,}; got more: "
            "if you trust the file, unpack it yourself"
        )
    return data
