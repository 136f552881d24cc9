"""Subscriptions grow within a session and start anew with the next."""

from quant_platform.services.ingestion.subscriptions import Subscriptions


def test_only_new_symbols_are_handed_out_each_once_and_in_order() -> None:
    subscriptions = Subscriptions()
    assert subscriptions.add(["C", "A", "C"]) == ["C", "A"]
    assert subscriptions.add(["A", "B"]) == ["B"]
    assert subscriptions.symbols == ("C", "A", "B")


def test_a_symbol_that_is_picked_no_more_stays() -> None:
    subscriptions = Subscriptions()
    subscriptions.add(["A", "B"])
    subscriptions.add(["B"])
    assert subscriptions.symbols == ("A", "B")


def test_a_new_session_starts_empty_and_names_what_to_unsubscribe() -> None:
    subscriptions = Subscriptions()
    assert subscriptions.begin(20000) == []
    subscriptions.add(["A", "B"])
    assert subscriptions.begin(20000) == []
    assert subscriptions.begin(20001) == ["A", "B"]
    assert subscriptions.symbols == ()
    assert subscriptions.add(["A"]) == ["A"]


def test_a_restored_set_goes_on() -> None:
    subscriptions = Subscriptions()
    subscriptions.begin(20000)
    subscriptions.add(["B", "A"])
    restored = Subscriptions()
    restored.restore(subscriptions.snapshot())
    assert restored.begin(20000) == []
    assert restored.add(["A", "C"]) == ["C"]
    assert restored.symbols == ("B", "A", "C")
