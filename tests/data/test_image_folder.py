"""Folders of images as data."""

import pytest
from PIL import Image

from probgen import data


class TestImages:
    def save(self, path, mode="RGB", size=(6, 4), **options):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new(mode, size, **options).save(path)

    def test_subfolders_are_classes(self, tmp_path):
        self.save(tmp_path / "b" / "2.png", color=(9, 0, 0))
        self.save(tmp_path / "b" / "1.PNG", color=(8, 0, 0))
        self.save(tmp_path / "a" / "3.jpeg")
        (tmp_path / ".hidden").mkdir()
        (tmp_path / "a" / "notes.txt").touch()
        s = data.images(tmp_path)
        assert (s.classes, s.y.tolist(), s.shape) == (("a", "b"), [0, 1, 1], (3, 4, 6))
        assert s.x[:, 0, 0, 0].tolist() == [0, 8, 9]

    def test_a_flat_folder_has_no_labels(self, tmp_path):
        self.save(tmp_path / "1.png", "L", color=7)
        s = data.images(tmp_path)
        assert (s.y, s.classes, s.shape) == (None, (), (1, 4, 6))
        assert s.x.unique().tolist() == [7]

    @pytest.mark.parametrize(
        ("mode", "channels", "color"),
        [("1", 1, 1), ("LA", 1, (255, 0)), ("I;16", 1, 65535)]
        + [("P", 3, None), ("RGBA", 3, (255, 255, 255, 0))],
    )
    def test_modes(self, tmp_path, mode, channels, color):
        self.save(tmp_path / "1.png", mode, color=color)
        assert data.images(tmp_path).shape[0] == channels
        assert color is None or data.images(tmp_path).x.unique().tolist() == [255]

    def test_sixteen_bits_are_scaled(self, tmp_path):
        self.save(tmp_path / "1.png", "I;16", color=32768)
        assert data.images(tmp_path).x.unique().tolist() == [128]

    def test_grey_among_colour_becomes_colour(self, tmp_path):
        self.save(tmp_path / "1.png", "L", color=7)
        self.save(tmp_path / "2.png", color=(1, 2, 3))
        assert data.images(tmp_path).x[:, :, 0, 0].tolist() == [[7, 7, 7], [1, 2, 3]]

    def test_mixed_sizes_need_a_size(self, tmp_path):
        self.save(tmp_path / "1.png")
        self.save(tmp_path / "2.png", size=(5, 5))
        with pytest.raises(data.DataError, match=r"\(4, 6\).*1.png and \(5, 5\).*2.png; size="):
            data.images(tmp_path)
        assert data.images(tmp_path, size=(3, 2)).shape == (3, 3, 2)
        with pytest.raises(data.DataError, match=r"positive sides; got \(0, 2\)"):
            data.images(tmp_path, size=(0, 2))

    def test_a_broken_file_is_named(self, tmp_path):
        self.save(tmp_path / "1.png")
        (tmp_path / "2.png").write_bytes((tmp_path / "1.png").read_bytes()[:-30])
        with pytest.raises(data.DataError, match="2.png"):
            data.images(tmp_path)

    def test_a_bomb_is_refused(self, tmp_path):
        self.save(tmp_path / "1.png", "1", (10_000, 10_000))
        with pytest.raises(data.DataError, match="1.png.*bomb"):
            data.images(tmp_path)

    def test_folders_that_do_not_serve(self, tmp_path):
        with pytest.raises(data.DataError, match="not a folder"):
            data.images(tmp_path / "none")
        with pytest.raises(data.DataError, match="got none"):
            data.images(tmp_path)
        self.save(tmp_path / "1.png")
        (tmp_path / "a").mkdir()
        with pytest.raises(data.DataError, match="got both"):
            data.images(tmp_path)
