"""Files of data: fetched, checked, unpacked, and what to do where they are missing."""

import gzip
import hashlib
import http.client
import io
import os
import shutil
import urllib.error
import urllib.request

import pytest
from serving import serving

from probgen import data
from probgen.data import DataError, classics, fetching


class TestFiles:
    """MNIST-like files of a few bytes, with their checksums in place of the real ones."""

    CONTENT = bytes([0, 0, 8, 1, 0, 0, 0, 4, 1, 2, 3, 4])
    FILE = fetching.File(
        "a/raw/x", 12, hashlib.sha256(CONTENT).hexdigest(), "https://example.org/x.gz"
    )

    @pytest.fixture
    def place(self, root):
        (root / "a" / "raw").mkdir(parents=True)
        return root / "a" / "raw"

    def test_extracted_and_zipped_files_are_the_same(self, place):
        (place / "x.gz").write_bytes(gzip.compress(self.CONTENT))
        assert fetching.read([self.FILE]) == [self.CONTENT]
        (place / "x.gz").rename(place / "unused")
        (place / "x").write_bytes(self.CONTENT)
        assert fetching.read([self.FILE]) == [self.CONTENT]

    @pytest.mark.parametrize(
        ("name", "content", "got"),
        [
            ("x", CONTENT[:-1], "expected 12 bytes; got 11"),
            ("x", CONTENT + b"5", "expected 12 bytes; got more"),
            ("x", CONTENT[:-1] + b"5", "expected sha256 .*; got "),
            ("x.gz", gzip.compress(CONTENT)[:-9], "end-of-stream"),
            ("x.gz", gzip.compress(CONTENT)[:10] + b"\xff" * 20, "invalid block type"),
            ("x.gz", gzip.compress(bytes(10**6)), "expected 12 bytes; got more"),
            ("x.gz", b"", "got 0"),
        ],
        ids=["short", "long", "changed", "truncated", "garbage", "bomb", "empty"],
    )
    def test_damaged_files_are_named(self, place, name, content, got):
        (place / name).write_bytes(content)
        with pytest.raises(data.DataError, match=rf"{name} cannot be used: .*{got}") as caught:
            fetching.read([self.FILE])
        assert "Put an intact copy in its place" in str(caught.value)
        assert caught.value.__suppress_context__ or caught.value.__context__ is None

    def test_a_bomb_is_not_unpacked(self, place):
        (place / "x.gz").write_bytes(gzip.compress(bytes(2**28), 1))
        with pytest.raises(data.DataError, match="got more"):
            fetching.read([self.FILE])

    def test_missing_files_are_downloaded_once(self, root, monkeypatch, capsys):
        monkeypatch.setattr(fetching, "_open", serving(gzip.compress(self.CONTENT)))
        assert fetching.read([self.FILE]) == [self.CONTENT]
        monkeypatch.setattr(fetching, "_open", None)
        assert fetching.read([self.FILE]) == [self.CONTENT]
        assert [p.name for p in (root / "a" / "raw").iterdir()] == ["x.gz"]
        assert capsys.readouterr().out == ""

    @pytest.mark.parametrize(
        "content",
        [gzip.compress(b"another one!"), gzip.compress(CONTENT)[:-9], b"", b"<html>" * 9],
        ids=["other", "truncated", "empty", "page"],
    )
    def test_a_bad_download_leaves_nothing(self, place, monkeypatch, content):
        monkeypatch.setattr(fetching, "_open", serving(content))
        with pytest.raises(data.DataError, match="x.gz"):
            fetching.read([self.FILE])
        assert list(place.iterdir()) == []

    @pytest.mark.parametrize(
        "error",
        [
            http.client.IncompleteRead(b""),
            TimeoutError(),
            OSError(28, "No space left"),
            KeyboardInterrupt(),
        ],
    )
    def test_an_interrupted_download_leaves_nothing(self, place, monkeypatch, error):
        class Breaking(io.BytesIO):
            headers = {"Content-Length": "12"}

            def read(self, size=-1):
                if self.tell():
                    raise error
                return super().read(4)

        monkeypatch.setattr(fetching, "_open", lambda url: Breaking(self.CONTENT))
        with pytest.raises((data.DataError, KeyboardInterrupt)):
            fetching.read([self.FILE])
        assert list(place.iterdir()) == []

    def test_without_network_the_error_says_what_to_do(self, root):
        with pytest.raises(data.DataError) as caught:
            data.mnist()
        message = str(caught.value)
        for part in (
            *(f"{file.path}.gz" for file in classics.MNIST),
            str(root),
            "PROBGEN_DATA",
        ):
            assert part in message
        assert caught.value.__suppress_context__

    def test_a_root_that_cannot_be_written(self, tmp_path, monkeypatch):
        (tmp_path / "file").touch()
        monkeypatch.setenv("PROBGEN_DATA", str(tmp_path / "file"))
        with pytest.raises(data.DataError, match="could not be downloaded .*Not a directory"):
            data.fashion_mnist()

    @pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
    def test_a_root_without_permission(self, root):
        root.mkdir(mode=0o500)
        with pytest.raises(data.DataError, match="Permission denied"):
            data.mnist()

    def test_only_https(self):
        with pytest.raises(urllib.error.URLError, match="not https"):
            fetching._open("http://example.org/x")
        request = urllib.request.Request("https://example.org/x")
        redirect = fetching._SecureRedirects().redirect_request
        with pytest.raises(urllib.error.URLError, match="redirect to http://"):
            redirect(request, None, 302, "", http.client.HTTPMessage(), "http://example.org/x")
        followed = redirect(request, None, 302, "", http.client.HTTPMessage(), "https://b.org/")
        assert followed.full_url == "https://b.org/"

    @pytest.mark.parametrize(
        "content", [b"", b"\0\0\x08\x03\0\0", CONTENT[:-1], b"\0\0\x0d" + CONTENT[3:]]
    )
    def test_idx_is_strict(self, content):
        with pytest.raises(data.DataError, match="label.idx: expected an IDX file"):
            classics.idx(content, "label.idx")

    def test_a_truncated_copy_of_a_real_file(self, shared_data, root, monkeypatch):
        raw = root / "MNIST" / "raw"
        shutil.copytree(shared_data / "MNIST" / "raw", raw, copy_function=shutil.copyfile)
        monkeypatch.setenv("PROBGEN_DATA", str(root))
        with (raw / "t10k-labels-idx1-ubyte.gz").open("rb+") as file:
            file.truncate(4000)
        with pytest.raises(data.DataError, match="t10k-labels-idx1-ubyte.gz cannot be used"):
            data.mnist()


def test_downloads_go_below_root(root):
    assert fetching.root() == root
    with pytest.raises(DataError):
        fetching.download("https://example.org/x", "x", 1, print, ["x"])
