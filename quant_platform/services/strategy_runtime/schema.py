"""Portfolio defaults (₹20,000), limits and parameters: everything ``--set name=value`` can change."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import time
from typing import Any

from quant_platform.domain.errors import StrategyError
from quant_platform.domain.money import Paise

DEFAULT_CAPITAL = Paise(20_000_00)
"""Starting balance of a new portfolio."""


@dataclass(frozen=True, slots=True)
class TradingSettings:
    """What every strategy shares: features' periods, sizing, risk, fills and session times.

    A strategy declares its own parameters beside these (:mod:`.strategy`).
    """

    rsi_period: int = 14  # closes of Wilder's average
    sma_period: int = 20  # closes, the running one included
    position_size_bps: int = 1000  # of the base, per position
    max_positions: int = 10  # open positions and pending entries
    risk_per_trade_bps: int = 100  # of the base, where the protective stop stands
    latency_ms: int = 200  # from decision to the earliest fill
    slippage_bps: int = 0  # in data without depth, against the order
    square_off: time = time(15, 20)  # IST
    square_off_lead_min: int = 10  # minutes before the last continuous close
    entry_until: time | None = None  # IST; None: until square-off

    def __post_init__(self) -> None:
        limits = {
            "rsi_period": (2, 1000),
            "sma_period": (2, 1000),
            "position_size_bps": (1, 10_000),
            "max_positions": (1, 10_000),
            "risk_per_trade_bps": (0, 10_000),
            "latency_ms": (0, 3_600_000),
            "slippage_bps": (0, 9_999),
            "square_off_lead_min": (0, 375),
        }
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise StrategyError(f"{name}={value} is out of range", f"give a number from {low} to {high}")


def parse_value(name: str, kind: Any, text: str) -> Any:
    """One ``--set`` value as its parameter's type.

    Args:
        name: the parameter's name, for the message.
        kind: ``int``, ``float``, ``bool``, ``str``, ``time`` or ``time | None``.
        text: as typed.

    Raises:
        StrategyError: the text is not of that type.
    """
    try:
        if kind is bool:
            return {"true": True, "1": True, "false": False, "0": False}[text.lower()]
        if kind is int:
            return int(text)
        if kind is float:
            return float(text)
        if kind is str:
            return text
        if not text and kind != time:
            return None
        return time.fromisoformat(text)
    except (ValueError, KeyError):
        expected = {bool: "true or false", int: "a whole number", float: "a number"}.get(kind, "a time like 15:20")
        raise StrategyError(f"parameter {name}={text!r} cannot be read", f"give {expected}") from None


def default_texts(parameters: type[Any]) -> dict[str, str | None]:
    """The defaults of a dataclass of parameters, by name, as ``--set`` takes them; None where there is none."""
    values = {field.name: field.default for field in dataclasses.fields(parameters)}
    return {
        name: None if value is None or value is dataclasses.MISSING else _text_of(value)
        for name, value in values.items()
    }


def _text_of(value: Any) -> str:
    """What :func:`parse_value` reads as this value."""
    if isinstance(value, bool):
        return str(value).lower()
    return value.isoformat("minutes") if isinstance(value, time) else str(value)


def split_parameters(given: Mapping[str, str], strategy_parameters: type[Any]) -> tuple[TradingSettings, Any]:
    """Turn ``--set`` texts into the shared settings and the strategy's own parameters.

    Args:
        given: name → text.
        strategy_parameters: the strategy's frozen dataclass of parameters.

    Returns:
        The settings and an instance of ``strategy_parameters``.

    Raises:
        StrategyError: a name neither knows, or a value that is not of the parameter's type.
    """
    shared = {f.name: f.type for f in dataclasses.fields(TradingSettings)}
    own = {f.name: f.type for f in dataclasses.fields(strategy_parameters)}
    unknown = sorted(set(given) - set(shared) - set(own))
    if unknown:
        raise StrategyError(
            f"unknown parameter {unknown[0]!r}", f"the parameters are {', '.join(sorted({*shared, *own}))}"
        )
    values = {name: parse_value(name, {**shared, **own}[name], text) for name, text in given.items()}
    settings = TradingSettings(**{k: v for k, v in values.items() if k in shared})
    return settings, strategy_parameters(**{k: v for k, v in values.items() if k in own})
