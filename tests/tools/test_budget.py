# SPDX-License-Identifier: MIT
"""How tools/budget shares memory out."""

import importlib.machinery
import importlib.util
import os
import random
from types import SimpleNamespace

import pytest
import qemu

MIB = 1 << 20


@pytest.fixture(scope="module")
def budget():
    path = os.path.join(os.path.dirname(qemu.__file__), "budget")
    loader = importlib.machinery.SourceFileLoader("budget", path)
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("budget", loader))
    loader.exec_module(module)
    return module


class Guest(SimpleNamespace):
    __hash__ = object.__hash__


def guest(need, actual=2048, most=2048, target=None):
    return Guest(need=None if need is None else need * MIB, actual=actual * MIB, most=most * MIB, target=target)


def shared(budget, total, *guests, least=64):
    return [None if share is None else share // MIB for share in budget.share(total * MIB, guests, least * MIB)]


def test_what_is_left_over_goes_to_all_alike(budget):
    assert shared(budget, 3000, guest(800), guest(800)) == [1500, 1500]
    one, other = shared(budget, 2000, guest(1000), guest(200))
    assert one + other <= 2000 and one - 1000 > 125 and other - 200 > 32
    assert abs((one - 1125) - (other - 232)) <= 1


def test_nobody_gets_more_than_it_can_have(budget):
    assert shared(budget, 8192, guest(100), guest(100)) == [2048, 2048]
    assert shared(budget, 3000, guest(100, most=512), guest(100)) == [512, 2048]


def test_rooms_shrink_before_needs_do(budget):
    one, other = shared(budget, 1650, guest(1000), guest(500))
    assert one >= 1000 and other >= 500 and one + other <= 1650


def test_a_budget_that_is_too_small_is_shared_by_need_and_never_exceeded(budget):
    one, other = shared(budget, 900, guest(1000), guest(500))
    assert one + other <= 900 and abs(one - 2 * other) <= 3


def test_a_guest_that_tells_nothing_keeps_what_it_has_and_that_counts(budget):
    assert shared(budget, 3000, guest(None, actual=1000), guest(100)) == [None, 2000]
    assert shared(budget, 900, guest(None, actual=1000), guest(100)) == [None, 0]


def test_no_one_grows_before_others_have_shrunk(budget):
    fat, lean = guest(100, actual=2048), guest(1500, actual=500)
    targets = budget.share(2548 * MIB, [fat, lean], 64 * MIB)
    assert budget.allowed_now(2548 * MIB, [fat, lean], targets) == [targets[0], 500 * MIB]
    fat.actual, fat.target = targets[0], targets[0]
    assert budget.allowed_now(2548 * MIB, [fat, lean], targets) == targets


def test_what_was_allowed_and_not_taken_yet_is_allowed_to_nobody_else(budget):
    slow, other = guest(500, actual=200, target=1000 * MIB), guest(900, actual=300)
    assert budget.allowed_now(1500 * MIB, [slow, other], [1000 * MIB, 1000 * MIB]) == [1000 * MIB, 500 * MIB]


def test_whatever_guests_do_the_budget_holds(budget):
    """Needs change at random, balloons follow as far as they like: never is more held than the budget, once it was not."""
    random.seed(5)
    total = 4000 * MIB
    guests = [guest(100, actual=1000) for _ in range(4)]
    for _ in range(500):
        for one in guests:
            one.need = random.choice([None, random.randrange(2048) * MIB])
            if one.target is not None:
                one.actual += int((one.target - one.actual) * random.random())
        targets = budget.allowed_now(total, guests, budget.share(total, guests, 64 * MIB))
        for one, target in zip(guests, targets):
            if target is not None:
                one.target = target
        assert sum(budget.held(one) for one in guests) <= total
