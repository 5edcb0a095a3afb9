"""CIFAR-10 in the forms in which it is found."""

import hashlib
import io
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image
from serving import serving

from probgen import data
from probgen.data import cifar, fetching


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
        monkeypatch.setattr(fetching, "_open", serving(content))
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
