"""When ``orders.events`` leave the outbox: gathered, and at once where nothing comes after."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from quant_platform.hosts.distributed import strategy_runtime

from .runtime_rig import WITHIN_S, Rig

TURNS = 400


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path)
    made.service.open()
    yield made
    made.service.close()


@pytest.fixture
def for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strategy_runtime, "PUBLISH_EVERY_S", float("inf"))


def test_they_leave_though_nothing_more_comes(rig: Rig) -> None:
    rig.turn()  # lets out what an earlier process may have left; from here on they gather
    rig.rise()
    give_up = time.monotonic() + WITHIN_S
    while not rig.told() and time.monotonic() < give_up:
        rig.turn()
    assert rig.told() == ["intended", "accepted"]


@pytest.mark.usefixtures("for_ever")
def test_the_last_turn_of_a_stopped_runtime_keeps_none_back(rig: Rig) -> None:
    rig.rise()
    for _ in range(TURNS):
        rig.turn()
    assert rig.told() == []
    rig.stop.set()
    rig.turn()
    assert rig.told() == ["intended", "accepted"]


@pytest.mark.usefixtures("for_ever")
def test_a_market_that_is_over_keeps_none_back(rig: Rig) -> None:
    rig.rise(last=True)
    for _ in range(3):
        rig.turn()
    assert rig.told()[:2] == ["intended", "accepted"]
