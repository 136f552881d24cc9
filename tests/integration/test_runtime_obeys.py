"""The strategy_runtime of the services obeys what its owner ordered, with a commit and again after a restart."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from quant_platform.adapters.ledger.sql import SqlLedger
from quant_platform.domain.commands import Halt

from .runtime_rig import Rig


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path, commit_every_s=0.0)
    made.service.open()
    yield made
    made.service.close()


def order(rig: Rig, halt: Halt) -> None:
    with SqlLedger(rig.ledger_url) as owner:
        assert owner.command(halt, "storm", "me", datetime.now(UTC)) == ["default"]


def held(rig: Rig) -> list[int]:
    with SqlLedger(rig.ledger_url) as ledger:
        return [position.quantity for position in ledger.positions()]


def test_an_entry_that_waits_is_cancelled_and_the_next_one_refused_until_the_owner_resumes(rig: Rig) -> None:
    rig.rise()
    rig.turn_until_told("intended", "accepted")
    order(rig, Halt.NO_ENTRIES)
    rig.rise(0.1)  # too early to fill what waits
    rig.turn_until_told("cancelled")
    rig.rise(60)
    rig.turn_until_told("intended", "refused")
    assert rig.events()[-1].reason == "halted"
    order(rig, Halt.NONE)
    rig.rise(61)
    rig.turn()  # whose commit finds it
    rig.rise(120)
    rig.turn_until_told("intended", "accepted")


def test_out_of_everything_sells_what_is_held_and_a_restart_finds_the_order_again(rig: Rig) -> None:
    rig.rise()
    rig.turn_until_told("intended", "accepted")
    rig.rise(1)
    rig.turn_until_told("filled")
    assert held(rig) == [20]
    order(rig, Halt.OUT)
    rig.service.close()
    rig.service.open()  # the commit that would have found it never came
    rig.turn_until_told("intended", "accepted")
    sale = rig.events()[-1]
    assert (sale.transaction_type, sale.quantity, sale.reason) == ("SELL", 20, "squared off by command")
    rig.rise(2)
    rig.turn_until_told("filled", "intended", "refused")
    assert held(rig) == []
