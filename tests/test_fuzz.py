"""Readers of graphs against mutated texts, and texts made to be slow or large."""

import json
import subprocess
import sys

import fuzz_readers
import pytest
from fuzz_readers import SEEDS, attempt, fuzz
from hypothesis import given, settings
from hypothesis import strategies as st

from probgen import graph

readers = pytest.mark.parametrize("reader", SEEDS, ids=lambda r: r.__module__)


@readers
def test_mutated_texts(reader):
    assert fuzz(reader, 2_000, seed=1) < 1


@pytest.fixture(scope="module")
def bombed():
    """What bombs cost in a process of their own, whose memory holds little else."""
    command = [sys.executable, fuzz_readers.__file__, "bombs"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize("reader", [*SEEDS, graph.load], ids=lambda r: r.__module__)
def test_bombs_take_less_than_a_second(reader, bombed):
    assert bombed["seconds"][fuzz_readers.named(reader)] < 1


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


def test_memory_is_bounded(bombed):
    assert bombed["MiB"] < 256
