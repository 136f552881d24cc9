"""The grid of a sweep: ``--set`` with several values or a range, as one set of parameters for each combination."""

import dataclasses
import re
from collections.abc import Mapping
from decimal import Decimal
from itertools import product
from math import prod
from typing import Any, NamedTuple

from quant_platform.domain.errors import UsageError
from quant_platform.hosts.strategies import load_strategy
from quant_platform.services.strategy_runtime.schema import TradingSettings

MOST_SETS = 100_000
_RANGE = re.compile(r"([^:,]+):([^:,]+):([^:,]+)")


class Grid(NamedTuple):
    """What is swept.

    Attributes:
        sets: name → text of every combination, the last name's values changing fastest.
        axes: the values of every swept name as they were read, in order.
    """

    sets: list[dict[str, str]]
    axes: dict[str, list[Any]]


def parameter_grid(strategy: str, fixed: Mapping[str, str], swept: Mapping[str, str]) -> Grid:
    """Every combination of the swept values, over the fixed ones.

    A value is text as ``quant backtest --set`` takes it, several are separated by commas; a number's may also be a
    range ``first:last:step``, ends included. A value that reads as one before it counts once.

    Args:
        strategy: name or file.
        fixed: name → text of what all sets share.
        swept: name → values.

    Raises:
        StrategyError: as for ``quant backtest``: an unknown name, or a value that cannot be read or is out of range.
        UsageError: a range is empty, or there are more than :data:`MOST_SETS` sets.
    """
    started, _ = load_strategy(strategy, fixed)
    kinds = {
        field.name: field.type
        for declared in (TradingSettings, type(started.parameters))
        for field in dataclasses.fields(declared)
    }
    texts: dict[str, list[str]] = {}
    axes: dict[str, list[Any]] = {}
    for name, given in swept.items():
        # Each value alone names what is wrong with it, before a core starts.
        read = [
            (described(*load_strategy(strategy, {**fixed, name: text}))[name], text)
            for text in _values(name, given, kinds.get(name))
        ]
        first_text = dict(reversed(read))
        axes[name] = list(dict.fromkeys(value for value, _ in read))
        texts[name] = [first_text[value] for value in axes[name]]
    count = prod(map(len, texts.values()))
    if count > MOST_SETS:
        raise UsageError(f"the grid has {count:,} sets, more than {MOST_SETS:,}", "give fewer values, or larger steps")
    sets = [{**fixed, **dict(zip(texts, chosen, strict=True))} for chosen in product(*texts.values())]
    return Grid(sets, axes)


def described(strategy: Any, settings: TradingSettings) -> dict[str, Any]:
    """All parameters of a set as they were read, by name; times as text."""
    both = dataclasses.asdict(settings) | dataclasses.asdict(strategy.parameters)
    plain = (bool, int, float, str)
    return {name: value if isinstance(value, plain) else str(value or "") for name, value in sorted(both.items())}


def _values(name: str, text: str, kind: Any) -> list[str]:
    found: list[str] = []
    for part in text.split(","):
        bounds = _RANGE.fullmatch(part.strip()) if kind in (int, float) else None
        found += [part.strip()] if bounds is None else _steps(name, part.strip(), *bounds.groups())
    return list(dict.fromkeys(found))


def _steps(name: str, text: str, *bounds: str) -> list[str]:
    """The texts of a range, in decimals: 0.1 ten times over is 1."""
    try:
        first, last, step = map(Decimal, bounds)
        count = int((last - first) / step) + 1 if step > 0 and last >= first else 0
    except ArithmeticError:
        count = 0
    if count < 1:
        raise UsageError(f"{name}={text} is no range", "write first:last:step with a step above 0, as in 45:60:5")
    if count > MOST_SETS:
        raise UsageError(f"{name}={text} has {count:,} values, more than {MOST_SETS:,}", "give a larger step")
    return [f"{first + number * step:f}" for number in range(count)]
