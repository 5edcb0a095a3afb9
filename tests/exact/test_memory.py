"""How much one call may take unless told otherwise."""

import pytest

from probgen import exact
from probgen.exact import memory


@pytest.fixture
def system(tmp_path, monkeypatch):
    """A machine with plenty, and a container whose two files can be written."""
    most, taken = tmp_path / "memory.max", tmp_path / "memory.current"
    monkeypatch.setattr(memory, "_GROUPS", ((str(most), str(taken)),))
    monkeypatch.setattr(memory, "_of_system", lambda: 8 << 30)
    memory.allowance.cache_clear()
    yield most, taken
    memory.allowance.cache_clear()


def test_half_of_what_is_available(system):
    assert memory.allowance() == 4 << 30


@pytest.mark.parametrize(
    ("most", "taken", "left"),
    [
        (3 << 30, 1 << 30, 2 << 30),
        ("max", 1 << 30, 8 << 30),
        (1 << 30, 2 << 30, 0),
        (1 << 62, 5, 8 << 30),
    ],
)
def test_a_container_may_have_less(system, most, taken, left):
    for path, value in zip(system, (most, taken), strict=True):
        path.write_text(f"{value}\n")
    assert memory.available() == left


def test_it_is_read_once(system):
    before = memory.allowance()
    system[0].write_text("1000000")
    system[1].write_text("0")
    assert memory.allowance() == before
    memory.allowance.cache_clear()
    assert memory.allowance() == 500_000


def test_the_allowance_is_what_a_call_may_take(system):
    system[0].write_text("100")
    system[1].write_text("0")
    with pytest.raises(exact.TooCostly, match="at most 50 bytes; got width 2"):
        exact.marginals("asia")
    assert exact.marginals("asia", max_bytes=1000)


def test_this_machine_says_something():
    assert 0 < memory.available() < 1 << 60


@pytest.mark.parametrize("wrong", ["1 GiB", float("nan"), [1]])
def test_bytes_are_a_number(wrong):
    with pytest.raises(exact.ExactError, match="expected max_bytes as a number of bytes; got"):
        exact.marginals("asia", max_bytes=wrong)


def test_more_bytes_are_advised_only_where_the_machine_has_them(system):
    system[0].write_text("700")
    system[1].write_text("0")
    with pytest.raises(exact.TooCostly) as no:
        exact.marginals("asia")
    assert "max_bytes" not in str(no.value)
    system[0].write_text("1000")
    with pytest.raises(exact.TooCostly, match="raise max_bytes="):
        exact.marginals("asia", max_bytes=10)
