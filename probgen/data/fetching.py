"""Files of the data sets: found below root(), downloaded when missing, verified before use."""

import gzip
import hashlib
import http.client
import os
import secrets
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

import numpy as np

from probgen.data.set import DataError

TIMEOUT = 30.0
BLOCK = 2**18
UNUSABLE = (OSError, EOFError, zlib.error, zipfile.BadZipFile, ValueError, KeyError, MemoryError)


class Mismatch(DataError, OSError):
    """A file whose content is not the expected one."""


class Readable(Protocol):
    """Anything bytes are read from."""

    def read(self, size: int, /) -> bytes:
        """At most ``size`` bytes."""


class File(NamedTuple):
    """One file of a data set, known by its uncompressed content; ``url`` has it gzipped."""

    path: str
    size: int
    sha256: str
    url: str


def root() -> Path:
    """The folder of the data sets: ``$PROBGEN_DATA``, else probgen in the user's cache folder."""
    if chosen := os.environ.get("PROBGEN_DATA"):
        return Path(chosen).expanduser()
    return cache()


def cache() -> Path:
    """Probgen in the user's cache folder: what is there can be had again."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "probgen"


def find(path: str) -> Path | None:
    """``path`` below root(), extracted or with .gz appended; None if neither is there."""
    choices = (root() / path, root() / f"{path}.gz")
    return next((choice for choice in choices if choice.is_file()), None)


def read(files: Sequence[File]) -> list[bytes]:
    """The verified contents of ``files``; those that are missing are downloaded.

    Raises:
        DataError: if a file is damaged, or missing and not to be had.
    """
    wanted = [f"{file.path}.gz" for file in files]
    for file, path in zip(files, wanted, strict=True):
        if find(file.path) is None:
            download(file.url, path, file.size + BLOCK, partial(_content, file), wanted)
    return [_read(file, find(file.path) or root() / file.path) for file in files]


def _read(file: File, path: Path) -> bytes:
    with intact(path):
        return _content(file, path)


def _content(file: File, path: Path) -> bytes:
    with path.open("rb") as raw:
        zipped = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        found = exactly(file.size, gzip.GzipFile(fileobj=raw) if zipped else raw)
    expect(f"sha256 {file.sha256}", f"sha256 {hashlib.sha256(found).hexdigest()}")
    return found


def exactly(size: int, stream: Readable) -> bytes:
    """The ``size`` bytes of a stream; reads one more at most, whatever a gzip file promises."""
    found = stream.read(size + 1)
    expect(f"{size} bytes", f"{'more' if len(found) > size else len(found)} bytes")
    return found


def expect(expected: object, got: object) -> None:
    """Raise ``Mismatch`` if the two differ."""
    if expected != got:
        raise Mismatch(f"expected {expected}; got {got}")


@contextmanager
def intact(path: Path) -> Iterator[None]:
    """Turns whatever is wrong with the file ``path`` into one ``DataError`` that names it."""
    try:
        yield
    except UNUSABLE as error:
        raise DataError(
            f"{path} cannot be used: {error}. Put an intact copy in its place, or delete it."
        ) from None


def npz(path: Path, limits: dict[str, int]) -> dict[str, np.ndarray]:
    """The named arrays of an npz file, none larger than its limit in bytes; never a pickle."""
    with zipfile.ZipFile(path) as archive:
        for name, limit in limits.items():
            size = archive.getinfo(f"{name}.npy").file_size
            expect(f"at most {limit} bytes", f"at most {max(limit, size)} bytes")
    with np.load(path, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in limits}


def download(
    url: str, path: str, limit: int, verify: Callable[[Path], object], wanted: Sequence[str]
) -> None:
    """Fetch ``url`` to ``path`` below root(), which is there either whole and verified or not.

    Args:
        url: an https address.
        path: where the file belongs below root().
        limit: no more bytes than these are accepted.
        verify: called with the temporary file; raises if it is not what it should be.
        wanted: the files a user may provide instead, for the error.

    Raises:
        DataError: if it could not be had, saying what to put where.
    """
    try:
        with replacing(root() / path) as part:
            _copy(url, part, limit)
            part.flush()
            verify(Path(part.name))
    except (*UNUSABLE, http.client.HTTPException) as error:
        raise DataError(
            f"{path} is not in {root()} and could not be downloaded ({error}). "
            f"Put {', '.join(wanted)} there, or set PROBGEN_DATA to the folder that has them."
        ) from None


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file that takes the name ``path`` once it is written whole, and is gone if it isn't."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with part.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _copy(url: str, target: BinaryIO, limit: int) -> None:
    from rich.console import Console
    from rich.progress import wrap_file

    with _open(url) as response:
        size = int(response.headers.get("Content-Length") or limit)
        name, console = url.rsplit("/", 1)[-1], Console(stderr=True)
        with wrap_file(response, size, description=name, console=console) as source:
            while block := source.read(BLOCK):
                if target.tell() + len(block) > limit:
                    raise Mismatch(f"{url} sends more than the expected {limit} bytes")
                target.write(block)


class _SecureRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: object) -> urllib.request.Request | None:
        if not str(args[-1]).startswith("https://"):
            raise urllib.error.URLError(f"refused a redirect to {args[-1]}, which is not https")
        return super().redirect_request(*args)  # type: ignore[arg-type]


def _open(url: str) -> http.client.HTTPResponse:
    if not url.startswith("https://"):
        raise urllib.error.URLError(f"refused {url}, which is not https")
    return urllib.request.build_opener(_SecureRedirects).open(url, timeout=TIMEOUT)
