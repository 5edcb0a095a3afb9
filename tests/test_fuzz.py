import subprocess
import sys

import pytest
from fuzz_readers import SEEDS, attempt, bombs, fuzz
from hypothesis import given, settings
from hypothesis import strategies as st

from probgen import graph

readers = pytest.mark.parametrize("reader", SEEDS, ids=lambda r: r.__module__)


@readers
def test_mutated_texts(reader):
    assert fuzz(reader, 2_000, seed=1) < 1


@pytest.mark.parametrize("reader", [*SEEDS, graph.load], ids=lambda r: r.__module__)
def test_bombs_take_less_than_a_second(reader):
    assert max(attempt(reader, bomb) for bomb in bombs()) < 1


@readers
@settings(deadline=None, max_examples=200)
@given(
    st.text(
        alphabet=st.sampled_from(sorted(set("".join(sum(SEEDS.values(), []))))) | st.characters()
    )
)
def test_any_text(reader, text):
    attempt(reader, text)
    attempt(graph.load, text)


def test_memory_is_bounded():
    code = (
        "import resource, sys; sys.path.insert(0, 'tests');"
        "from fuzz_readers import SEEDS, attempt, bombs;"
        "base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss;"
        "[attempt(r, b) for r in SEEDS for b in bombs()];"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base) / 1024)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(out.stdout) < 256
