"""The data sets on the command line."""

from pages import read

from probgen import data


def test_data_list_and_get(probgen):
    status, out, _ = probgen("data", "list")
    assert status == 0
    assert all(name in out for name in ("digits", "mnist", "fashion-mnist", "cifar10"))
    assert "1,500 items" in probgen("data", "get", "digits")[1]


def test_missing_data_say_what_to_do(probgen, root):
    status, _, err = probgen("data", "get", "mnist")
    assert (status, err.count("\n")) == (2, 1)
    assert "PROBGEN_DATA" in err


def test_data_show_counts_and_pictures(probgen, tmp_path):
    status, out, err = probgen("data", "show", "digits", "--out", tmp_path)
    assert status == 0, err
    found = read(tmp_path / "report.html")
    train, _ = data.digits()
    zeros = int((train.x == 0).sum()) / train.x.numel()
    assert f"{zeros:.1%} of {train.x.numel():,} values are zero" in found.text
    assert f"{int((train.y == 3).sum())} items" in found.text
    assert (tmp_path / "report" / "means.svg").exists()
