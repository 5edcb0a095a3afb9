import gzip
import hashlib
import http.client
import io
import os
import shutil
import tarfile
import urllib.error
import urllib.request

import numpy as np
import pytest
import torch
from PIL import Image

from probgen import data
from probgen.data import cifar, classics, files


def _serving(content, headers=None):
    def open_(url):
        response = io.BytesIO(content)
        response.headers = headers or {}
        return response

    return open_


class TestFiles:
    """MNIST-like files of a few bytes, with their checksums in place of the real ones."""

    CONTENT = bytes([0, 0, 8, 1, 0, 0, 0, 4, 1, 2, 3, 4])
    FILE = files.File(
        "a/raw/x", 12, hashlib.sha256(CONTENT).hexdigest(), "https://example.org/x.gz"
    )

    @pytest.fixture
    def place(self, root):
        (root / "a" / "raw").mkdir(parents=True)
        return root / "a" / "raw"

    def test_extracted_and_zipped_files_are_the_same(self, place):
        (place / "x.gz").write_bytes(gzip.compress(self.CONTENT))
        assert files.read([self.FILE]) == [self.CONTENT]
        (place / "x.gz").rename(place / "unused")
        (place / "x").write_bytes(self.CONTENT)
        assert files.read([self.FILE]) == [self.CONTENT]

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
            files.read([self.FILE])
        assert "Put an intact copy in its place" in str(caught.value)
        assert caught.value.__suppress_context__ or caught.value.__context__ is None

    def test_a_bomb_is_not_unpacked(self, place):
        (place / "x.gz").write_bytes(gzip.compress(bytes(2**28), 1))
        with pytest.raises(data.DataError, match="got more"):
            files.read([self.FILE])

    def test_missing_files_are_downloaded_once(self, root, monkeypatch, capsys):
        monkeypatch.setattr(files, "_open", _serving(gzip.compress(self.CONTENT)))
        assert files.read([self.FILE]) == [self.CONTENT]
        monkeypatch.setattr(files, "_open", None)
        assert files.read([self.FILE]) == [self.CONTENT]
        assert [p.name for p in (root / "a" / "raw").iterdir()] == ["x.gz"]
        assert capsys.readouterr().out == ""

    @pytest.mark.parametrize(
        "content",
        [gzip.compress(b"another one!"), gzip.compress(CONTENT)[:-9], b"", b"<html>" * 9],
        ids=["other", "truncated", "empty", "page"],
    )
    def test_a_bad_download_leaves_nothing(self, place, monkeypatch, content):
        monkeypatch.setattr(files, "_open", _serving(content))
        with pytest.raises(data.DataError, match="x.gz"):
            files.read([self.FILE])
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

        monkeypatch.setattr(files, "_open", lambda url: Breaking(self.CONTENT))
        with pytest.raises((data.DataError, KeyboardInterrupt)):
            files.read([self.FILE])
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
            files._open("http://example.org/x")
        request = urllib.request.Request("https://example.org/x")
        redirect = files._SecureRedirects().redirect_request
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


class TestCifar:
    @pytest.fixture
    def batches(self, monkeypatch):
        """Six batches of 20 records, two of each class."""
        monkeypatch.setattr(cifar, "BATCH", 20 * cifar.RECORD)
        generator = np.random.default_rng(0)
        records = generator.integers(0, 256, (6, 20, cifar.RECORD), dtype=np.uint8)
        records[:, :, 0] = np.arange(20) % 10
        return records

    def place(self, root, batches):
        (root / cifar.FOLDER).mkdir(parents=True)
        for name, records in zip(cifar.BATCHES, batches, strict=True):
            (root / cifar.FOLDER / name).write_bytes(records.tobytes())

    def pack(self, root, batches, monkeypatch):
        root.mkdir(parents=True, exist_ok=True)
        with tarfile.open(root / cifar.ARCHIVE, "w:gz") as archive:
            for name, records in zip(cifar.BATCHES, batches, strict=True):
                member = tarfile.TarInfo(f"{cifar.FOLDER}/{name}")
                member.size = records.nbytes
                archive.addfile(member, io.BytesIO(records.tobytes()))
        content = (root / cifar.ARCHIVE).read_bytes()
        monkeypatch.setattr(cifar, "ARCHIVE_MD5", hashlib.md5(content).hexdigest())
        return content

    def same(self, sets, batches):
        train, test = sets
        records = batches[:5].reshape(100, -1)
        assert torch.equal(train.y, torch.from_numpy(records[:, 0]).long())
        assert np.array_equal(train.x[7, 2].flatten(), records[7, 1 + 2 * 1024 :])
        assert np.array_equal(test.x[3, 0].flatten(), batches[5, 3, 1:1025])
        assert (len(test), train.name, train.classes[9]) == (20, "cifar10", "truck")

    def test_folder(self, root, batches):
        self.place(root, batches)
        self.same(data.cifar10(), batches)

    def test_archive(self, root, batches, monkeypatch):
        self.pack(root, batches, monkeypatch)
        self.same(data.cifar10(), batches)
        assert [p.name for p in root.iterdir()] == [cifar.ARCHIVE]

    def test_download(self, root, batches, monkeypatch):
        content = self.pack(root, batches, monkeypatch)
        (root / cifar.ARCHIVE).unlink()
        monkeypatch.setattr(files, "_open", _serving(content))
        self.same(data.cifar10(), batches)

    def test_an_archive_with_another_checksum_is_not_opened(self, root, batches, monkeypatch):
        self.pack(root, batches, monkeypatch)
        monkeypatch.setattr(cifar, "ARCHIVE_MD5", "0" * 32)
        monkeypatch.setattr(tarfile, "open", None)
        with pytest.raises(data.DataError, match="expected md5 0000"):
            data.cifar10()

    def test_a_truncated_batch(self, root, batches):
        self.place(root, batches)
        with (root / cifar.FOLDER / "data_batch_3.bin").open("rb+") as file:
            file.truncate(100)
        with pytest.raises(data.DataError, match="data_batch_3.bin cannot be used: .*got 100"):
            data.cifar10()

    def test_a_missing_batch(self, root, batches):
        self.place(root, batches)
        (root / cifar.FOLDER / "test_batch.bin").unlink()
        with pytest.raises(data.DataError, match="test_batch.bin.*No such file"):
            data.cifar10()

    def test_a_label_out_of_range(self, root, batches):
        batches[1, 4, 0] = 10
        self.place(root, batches)
        with pytest.raises(data.DataError, match="labels from 0 to 9; got 10 in item 24"):
            data.cifar10()

    def jpegs(self, root, **changes):
        encoded = []
        for level in range(20):
            stream = io.BytesIO()
            Image.new("RGB", (32, 32), (level, 0, 0)).save(stream, "jpeg")
            encoded.append(stream.getvalue())
        pack = {
            "bytes": np.frombuffer(b"".join(encoded), np.uint8),
            "offsets": np.cumsum([0, *map(len, encoded)]),
            "labels": np.arange(20, dtype=np.uint8) % 10,
        }
        for name in cifar.JPEG_PACKS:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            np.savez(root / name, **(pack | changes))
        return pack

    def test_jpegs_are_marked(self, root):
        self.jpegs(root)
        train, test = data.cifar10()
        assert train.name == test.name == "cifar10 (lossy JPEG)"
        assert train.x[19, 0, 0, 0] == pytest.approx(19, abs=2)

    def test_the_original_wins(self, root, batches):
        self.jpegs(root)
        self.place(root, batches)
        self.same(data.cifar10(), batches)

    @pytest.mark.parametrize(
        "changes",
        [
            {"offsets": np.arange(21)},
            {"offsets": np.arange(21)[::-1].copy()},
            {"offsets": np.arange(21.0)},
            {"labels": np.zeros(3, np.uint8)},
            {"labels": np.zeros(0, np.uint8), "offsets": np.zeros(1, np.int64)},
            {"bytes": np.array([{}], dtype=object)},
            {
                "bytes": np.zeros(5, np.uint8),
                "offsets": np.array([0, 5]),
                "labels": np.zeros(1, np.uint8),
            },
            {"labels": np.zeros(2**18, np.uint8)},
        ],
    )
    def test_damaged_packs(self, root, changes):
        self.jpegs(root, **changes)
        with pytest.raises(data.DataError, match="cifar10_jpeg_train.npz cannot be used"):
            data.cifar10()

    def test_a_pack_that_is_none(self, root):
        self.jpegs(root)
        for name in cifar.JPEG_PACKS:
            (root / name).write_bytes(b"PK nothing")
        with pytest.raises(data.DataError, match="cifar10_jpeg_train.npz cannot be used"):
            data.cifar10()
