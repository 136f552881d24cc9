"""The garbage collector of a service: off while it turns, at work between turns, and left as it was found."""

import gc
import weakref

import pytest

from quant_platform.hosts import garbage


class Knot:
    """Refers to itself, so that only the collector ends it."""

    def __init__(self) -> None:
        self.knot = self


def test_it_is_off_within_the_block_and_on_again_behind_it() -> None:
    assert gc.isenabled()
    with garbage.collected_at_rest():
        assert not gc.isenabled()
        assert gc.get_freeze_count() > 0
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


def test_who_had_it_off_keeps_it_off() -> None:
    gc.disable()
    try:
        with garbage.collected_at_rest():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


@pytest.mark.parametrize(("every_s", "is_left"), [(0.0, False), (3600.0, True)])
def test_cycles_are_collected_at_rest_once_the_last_time_is_long_ago(
    every_s: float, is_left: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(garbage, "EVERY_S", every_s)
    with garbage.collected_at_rest() as collector:
        knot = weakref.ref(Knot())
        collector.rest()
        assert (knot() is not None) == is_left
