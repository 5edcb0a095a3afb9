"""PI control: settles from both sides, never latches, moves nothing it should not."""

import math

import pytest
import torch
from no_host import NoHost

from probgen.objectives.control import PI, ControlError, Controlled, Cyclic, ends

TARGETS = (8.0, 14.0, 16.0, 18.0, 25.0, 180.0)


def pi(kp=1.0, ki=0.02, low=0.0, high=100.0):
    return PI(kp, ki, low, high)


class Plant:
    """KL of a linear Gaussian model by reverse water-filling, reached with a lag of 30 steps.

    KL(beta) = sum_i max(0, log(v_i / beta) / 2), v_i the variances in units of the noise.
    """

    def __init__(self, dimensions, seed=0):
        self.variances = torch.logspace(2, -1, dimensions)
        self.generator = torch.Generator().manual_seed(seed)
        self.kl = torch.zeros(())

    def __call__(self, weight):
        rate = (self.variances / weight.clamp(min=1e-6)).log().clamp(min=0).sum() / 2
        self.kl = self.kl + (rate - self.kl) / 30
        return self.kl + 0.03 * self.kl.sqrt() * torch.randn((), generator=self.generator)


@pytest.mark.parametrize("start", [0.0, 100.0], ids=["from above", "from below"])
@pytest.mark.parametrize("target", TARGETS)
def test_the_kl_settles_from_both_sides(target, start):
    control, plant = pi(), Plant(300 if target > 100 else 20)
    state = control.start(torch.tensor(start))
    found = []
    for _ in range(600):
        state = control(state, plant(state.weight), torch.tensor(target))
        found.append(plant.kl.item())
    assert all(abs(kl - target) < 0.5 for kl in found[300:])


def leaves(rule, value, after=math.inf, limit=200_000):
    """Steps until a rule's weight is no longer ``value`` at a constant KL."""
    return next((step for step in range(1, limit) if rule(after) != value), math.inf)


class Ours:
    def __init__(self, start, target=8.0):
        self.control, self.target = pi(), torch.tensor(target)
        self.state = self.control.start(torch.tensor(start))

    def __call__(self, kl):
        self.state = self.control(self.state, torch.tensor(kl), self.target)
        return self.state.weight.item()


class PublishedForImages:
    """ControlVAE's rule for images: saturated means W < 0 and W >= 1, which nothing is."""

    def __init__(self, target=8.0, kp=0.01, ki=0.0001):
        self.target, self.kp, self.ki, self.integral = target, kp, ki, 0.0

    def __call__(self, kl):
        error = self.target - kl
        self.integral -= self.ki * error
        return min(max(self.kp / (1 + math.exp(error)) + self.integral, 0.0), 1.0)


class PublishedForDSprites:
    """ControlVAE's rule for dSprites: below 1 it holds the integral, whatever the error's sign."""

    def __init__(self, target=16.0, kp=0.01, ki=0.001):
        self.target, self.kp, self.ki = target, kp, ki
        self.integral, self.unclipped = 0.0, 1.0

    def __call__(self, kl):
        error = self.target - kl
        if self.unclipped >= 1:
            self.integral -= self.ki * error
        self.unclipped = self.kp / (1 + math.exp(error)) + 1 + self.integral
        return max(self.unclipped, 1.0)


def test_saturation_at_the_greatest_weight_is_left_at_once():
    """1,000 steps 90 nats above the target, then one nat below it."""
    published, ours = PublishedForImages(), Ours(start=1.0)
    for _ in range(1000):
        tops = published(98.0), ours(98.0)
    assert tops == (1.0, pytest.approx(100.0))
    assert leaves(published, tops[0], after=7.0) > 79_000
    assert leaves(ours, tops[1], after=7.0) <= 200


def test_saturation_at_the_least_weight_is_left_at_once():
    """1,000 steps at a KL of 0, then one nat above the target."""
    published, ours = PublishedForImages(), Ours(start=1.0)
    for _ in range(1000):
        assert published(0.0) >= 0
        bottom = ours(0.0)
    assert bottom == 0.0
    assert leaves(published, 0.0, after=9.0) > 7_000
    assert leaves(ours, bottom, after=9.0) <= 200


def test_the_published_dsprites_rule_latches_for_ever_where_ours_returns():
    published, ours = PublishedForDSprites(), Ours(start=1.0, target=16.0)
    for _ in range(100):
        published(0.0), ours(0.0)
    assert leaves(published, 1.0, after=30.0, limit=20_000) == math.inf
    assert leaves(ours, 0.0, after=30.0) <= 200


def test_the_integral_moves_from_a_bound_inwards_and_never_beyond_it():
    control = pi(kp=0.0)
    for weight, kl, moves in ((100.0, 20.0, False), (100.0, 2.0, True),
                              (0.0, 2.0, False), (0.0, 20.0, True)):  # fmt: skip
        before = control.start(torch.tensor(weight))
        after = control(before, torch.tensor(kl), torch.tensor(8.0))
        assert (after.integral != before.integral).item() == moves
        assert 0 <= after.weight <= 100


def test_without_gains_the_weight_stays():
    state = pi(kp=0.0, ki=0.0).start(torch.tensor(3.0))
    for kl in (0.0, 8.0, 1e9):
        state = pi(kp=0.0, ki=0.0)(state, torch.tensor(kl), torch.tensor(8.0))
        assert state.weight.item() == pytest.approx(3.0)


def test_taking_over_without_an_error_moves_nothing():
    state = pi().start(torch.tensor(3.0))
    assert pi()(state, torch.tensor(8.0), torch.tensor(8.0)).weight.item() == pytest.approx(3.0)


def test_the_weight_falls_with_the_error_and_stays_finite():
    state = pi().start(torch.tensor(1.0))
    kls = torch.tensor([0.0, 7.0, 8.0, 9.0, 1e4, 3e38])
    weights = pi()(Controlled(*(s.expand(6) for s in state)), kls, torch.full((6,), 8.0)).weight
    assert weights.isfinite().all()
    assert (weights.diff() >= 0).all()


@pytest.mark.parametrize("kl", [math.nan, math.inf, -math.inf])
def test_a_measurement_that_is_no_number_moves_nothing(kl):
    before = pi()(pi().start(torch.tensor(2.0)), torch.tensor(9.0), torch.tensor(8.0))
    after = pi()(before, torch.tensor(kl), torch.tensor(8.0))
    assert torch.equal(after.weight, before.weight)
    assert torch.equal(after.integral, before.integral)


def test_equal_bounds_are_a_constant():
    control = pi(low=2.0, high=2.0)
    state = control.start(torch.tensor(7.0))
    assert control(state, torch.tensor(99.0), torch.tensor(8.0)).weight == 2.0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_step_asks_nothing_of_the_host_and_keeps_the_precision(dtype):
    kl, target = torch.tensor([3.0, 9.0], dtype=dtype), torch.full((2,), 8.0, dtype=dtype)
    state = pi().start(torch.ones(2, dtype=dtype))
    with NoHost():
        after = pi()(state, kl, target)
    assert after.weight.dtype == after.integral.dtype == dtype
    with NoHost(), pytest.raises(AssertionError, match="host"):
        kl[0].item()


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"kp": -1.0}, r"kp >= 0 and finite; got -1"),
        ({"ki": -0.1}, r"ki >= 0 and finite; got -0.1"),
        ({"ki": math.nan}, "ki"),
        ({"low": 3.0, "high": 2.0}, r"least weight <= greatest weight.*got 3.0 and 2.0"),
        ({"low": -1.0}, "got -1.0"),
        ({"high": math.inf}, "finite"),
    ],
)
def test_impossible_controllers_are_refused(settings, match):
    with pytest.raises(ControlError, match=match):
        pi(**settings)


def test_the_ends_of_a_schedule_are_those_it_states():
    assert ends(Cyclic(1.0, 2.0, period=10)) == (1.0, 2.0)
    assert ends(lambda step: step) == ()
