"""Which files are opened, and how much of them is read."""

import gzip
import os
import threading
import time

import pytest

from probgen import graph
from probgen.reasoning.graph import GraphError
from probgen.reasoning.readers import files, formats

SUFFIXES = sorted(formats.SUFFIXES)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_pipes_devices_and_folders_are_not_opened(tmp_path, suffix):
    os.mkfifo(tmp_path / f"pipe{suffix}")
    (tmp_path / f"folder{suffix}").mkdir()
    (tmp_path / f"zero{suffix}").symlink_to("/dev/zero")
    for name, kind in [("pipe", "named pipe"), ("folder", "folder"), ("zero", "device")]:
        with pytest.raises(GraphError, match=f"{name}{suffix}: expected a file; got a {kind}"):
            graph.load(tmp_path / f"{name}{suffix}")


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".bif.gz"])
def test_a_large_file_is_refused_with_the_limit(tmp_path, suffix):
    path = tmp_path / f"x{suffix}"
    with open(path, "wb") as file:
        file.truncate(200_000_000)
    started = time.process_time()
    with pytest.raises(GraphError, match="at most 134,217,728 bytes; got 200,000,000"):
        graph.load(path)
    assert time.process_time() - started < 1


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    "data", [b"", b" \n", b"\xff\xfe", b"\x00\x01", b"{", b"<", b"<BIF>", b"x"]
)
def test_broken_files_say_which(tmp_path, suffix, data):
    for name, content in ((f"x{suffix}", data), (f"x{suffix}.gz", gzip.compress(data))):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(GraphError, match=name):
            graph.load(tmp_path / name)
    (tmp_path / f"y{suffix}.gz").write_bytes(data)
    with pytest.raises(GraphError, match="y"):
        graph.load(tmp_path / f"y{suffix}.gz")


@pytest.mark.parametrize("suffix", [".xmlbif", ".json", ".gml", ".uai", ".net", ".dne", ".csv"])
def test_what_unpacks_to_too_much_is_refused(tmp_path, suffix):
    path = tmp_path / f"x{suffix}.gz"
    path.write_bytes(gzip.compress(b" " * 100_000_000))
    with pytest.raises(GraphError, match="unpack"):
        graph.load(path)


def test_a_string_with_a_suffix_in_any_case_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    graph.save("asia", "x.bif")
    os.rename("x.bif", "X.Bif")
    assert "lung" in graph.load("X.Bif")
    assert "lung" in graph.load((tmp_path / "X.Bif").read_text())
    with pytest.raises(GraphError, match="nowhere.XMLBIF: cannot be read: No such file"):
        graph.load("nowhere.XMLBIF")


def test_two_writers_at_once_leave_one_whole_file(tmp_path):
    path = tmp_path / "x.json"
    names = ["asia", "student", "sprinkler", "burglary"]
    writers = [threading.Thread(target=graph.save, args=(name, path)) for name in names]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    sizes = {len(graph.load(name)) for name in names}
    assert len(graph.load(path)) in sizes
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


def test_limits_are_bytes():
    assert files.LARGEST == 1 << 27
