"""The text of a file, plain or gzipped, within stated limits."""

import gzip
import zlib
from pathlib import Path

from probgen.reasoning.names import GraphError, shown

LARGEST = 1 << 28
"""Bytes of text that are read at most."""


def text(path: Path) -> str:
    """The file as text; a gzipped file may unpack to at most 64 times its size plus 1 MiB.

    Raises:
        GraphError: no such file, not UTF-8, not gzip, or too large (the size is stated).
    """
    where = shown(path)[:200]
    try:
        size = path.stat().st_size
        if size > LARGEST:
            raise GraphError(f"{where}: expected at most {LARGEST:,} bytes; got {size:,}")
        return _bytes(path, size).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        byte, at = error.object[error.start], error.start
        raise GraphError(f"{where}: expected UTF-8 text; got byte {byte:#04x} at {at:,}") from None
    except (zlib.error, EOFError, gzip.BadGzipFile) as error:
        raise GraphError(f"{where}: expected a gzip file; got {error}") from None
    except GraphError:
        raise
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise GraphError(f"{where}: cannot be read: {reason}") from None


def _bytes(path: Path, size: int) -> bytes:
    if path.suffix != ".gz":
        return path.read_bytes()
    limit = min(LARGEST, 64 * size + (1 << 20))
    with gzip.open(path) as stream:
        data = stream.read(limit + 1)
    if len(data) > limit:
        raise GraphError(
            f"{shown(path)}: expected {size:,} gzipped bytes to unpack to at most {limit:,}; "
            "got more: if you trust the file, unpack it yourself"
        )
    return data
