"""States of another type: matched where it is clear which is meant, else both types are shown."""

from decimal import Decimal

import numpy as np
import pytest

from probgen import exact, graph
from probgen.exact import ExactError
from probgen.reasoning import states

MATCHES = [
    (1, ("0", "1"), "1"),
    (np.int64(1), ("0", "1"), "1"),
    (np.uint8(0), ("0", "1"), "0"),
    (1.0, ("0", "1"), "1"),
    (np.float32(0.1), ("0.1", "0.2"), "0.1"),
    (np.array(1), ("0", "1"), "1"),
    (-1, ("-1", "0"), "-1"),
    (1e22, ("10000000000000000000000", "0"), "10000000000000000000000"),
    ("1", (0, 1), 1),
    ("1.0", (0, 1), 1),
    ("1", (0.0, 1.0), 1.0),
    (" 1", (0, 1), 1),
    (True, ("no", "yes"), "yes"),
    (False, ("No", "Yes"), "No"),
    (np.bool_(True), ("False", "True"), "True"),
    (True, ("0", "1"), "1"),
    ("true", (False, True), True),
    ("no", (False, True), False),
    (True, ("yes", "no", "maybe"), "yes"),
]
UNCLEAR = [
    (1, ("no", "yes")),
    (1, ("1", "01")),
    (1.5, ("1", "2")),
    ("1.0", ("0", "1")),
    ("true", ("no", "yes")),
    ("YES", ("no", "yes")),
    (True, ("a", "b")),
    (True, ("true", "yes")),
    (2, ("0", "1")),
    (float("inf"), ("inf", "0")),
    (10**400, ("1", "2")),
    ("1_0", (10, 11)),
    ("9" * 5_000, (1, 2)),
    (None, ("None", "x")),
    ([1], ("1", "2")),
    (np.array([1]), ("1", "2")),
]


@pytest.mark.parametrize(("value", "known", "right"), MATCHES)
def test_the_state_that_says_the_same(value, known, right):
    found = states.match(value, known)
    assert found == right
    assert type(found) is type(right)


@pytest.mark.parametrize(("value", "known"), UNCLEAR)
def test_no_state_where_none_or_several_say_it(value, known):
    assert states.match(value, known) is None


def test_numbers_are_compared_exactly():
    large = 2**53 + 1
    assert states.match(large, (str(2**53), str(large))) == str(large)
    assert states.match(str(large), (2**53, large)) == large
    assert Decimal(str(large)) != Decimal(2**53)


def with_states(*names):
    """A with the states, p(A) = (0.2, 0.8), and B that tells A with certainty 0.9."""
    g = graph.load("A -> B")
    g.nodes["A"].update(states=names, parents=(), table=np.array([0.2, 0.8]))
    g.nodes["B"].update(states=names, parents=("A",), table=np.array([[0.9, 0.1], [0.1, 0.9]]))
    return g


RIGHT = 0.8 * 0.9 / (0.8 * 0.9 + 0.2 * 0.1)


@pytest.mark.parametrize("value", ["1", 1, 1.0, np.int64(1), np.float32(1), True, np.bool_(True)])
@pytest.mark.parametrize("names", [("0", "1"), (0, 1)])
def test_evidence_of_every_type(names, value):
    network = with_states(*names)
    assert exact.marginals(network, {"B": value})["A"][names[1]] == pytest.approx(RIGHT)
    assert exact.marginals(network, do={"A": value})["B"][names[1]] == pytest.approx(0.9)


def test_true_stands_for_yes():
    network = with_states("no", "yes")
    assert exact.marginals(network, {"B": True})["A"]["yes"] == pytest.approx(RIGHT)
    assert exact.marginals("asia", {"smoke": True}) == exact.marginals("asia", {"smoke": "yes"})


def test_frames_of_integers_booleans_and_gaps():
    pandas = pytest.importorskip("pandas")
    network = with_states("0", "1")
    frames = [
        pandas.DataFrame({"B": [1, 0]}),
        pandas.DataFrame({"B": [True, False]}),
        pandas.DataFrame({"B": ["1", "0"]}, dtype="category"),
        pandas.DataFrame({"B": [1.0, 0.0]}),
    ]
    for frame in frames:
        found = exact.marginals(network, frame)["A"][:, 1]
        np.testing.assert_allclose(found, [RIGHT, 0.8 * 0.1 / (0.8 * 0.1 + 0.2 * 0.9)])
    gaps = pandas.DataFrame({"B": [1.0, np.nan]})
    np.testing.assert_allclose(exact.marginals(network, gaps)["A"][:, 1], [RIGHT, 0.8])


def test_fit_takes_an_integer_frame_for_text_states():
    pandas = pytest.importorskip("pandas")
    rows = pandas.DataFrame({"A": [0, 1, 1, 1], "B": [0, 1, 1, 0]})
    fitted = exact.fit(with_states("0", "1"), rows).network
    np.testing.assert_allclose(fitted.nodes["A"]["table"], [0.25, 0.75])


def test_likelihoods_go_by_states_of_every_type():
    network = with_states("0", "1")
    right = exact.marginals(network, {"B": {"0": 0.2, "1": 0.6}})
    assert exact.marginals(network, {"B": {0: 0.2, True: 0.6}}) == right
    message = r"one likelihood for every state of B; got \[0, '0', 1\]"
    with pytest.raises(ExactError, match=message):
        exact.marginals(network, {"B": {0: 0.2, "0": 0.3, 1: 0.6}})


@pytest.mark.parametrize(
    ("names", "value", "message"),
    [
        (("0", "1"), 7, r"expected a state of B; got 7 \(int\); known: '0', '1' \(str\)"),
        ((0, 1), "7", r"got '7' \(str\); known: 0, 1 \(int\)"),
        (("a", "b"), True, r"got True \(bool\); known: 'a', 'b' \(str\)"),
        (("a", "b"), 1, r"got 1 \(int\); .* did you mean 'b', the state 1\?"),
        (("yes", "no"), "yess", "got 'yess'; did you mean 'yes'"),
        (("0", "1"), [1], r"got \[1\] \(list\)"),
    ],
)
def test_other_states_are_shown_with_their_types(names, value, message):
    with pytest.raises(ExactError, match=message):
        exact.marginals(with_states(*names), {"B": value})


def test_a_label_asked_of_a_network_tells_its_node():
    network = with_states("0", "1")
    network.nodes["A"]["label"] = "Alarm"
    with pytest.raises(graph.UnknownNode, match="'Alarm' is the label of 'A'"):
        exact.marginals(network, {"Alarm": 1})
