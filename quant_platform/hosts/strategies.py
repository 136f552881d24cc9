"""Find a strategy by its name, or in a user's own file."""

import dataclasses
import importlib
import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from quant_platform.domain.errors import StrategyError
from quant_platform.services.strategy_runtime import strategies
from quant_platform.services.strategy_runtime.schema import TradingSettings, split_parameters
from quant_platform.services.strategy_runtime.strategy import Strategy

CURE = "see docs/strategies.md for what a strategy file holds"


def built_in_names() -> list[str]:
    """Names of the strategies that come with the platform."""
    return sorted(path.stem for path in Path(strategies.__path__[0]).glob("*.py") if path.stem != "__init__")


def built_in_classes() -> dict[str, Any]:
    """Name → class of the strategies that come with the platform."""
    return {name: _strategy_class(_module(name), name) for name in built_in_names()}


def load_strategy(which: str, given: Mapping[str, str]) -> tuple[Strategy, TradingSettings]:
    """A strategy and the settings it runs with.

    Args:
        which: name of a built-in strategy, or path of a Python file that defines one.
        given: parameters as texts, the shared settings' and the strategy's own together.

    Raises:
        StrategyError: there is no such strategy, its file fails or does not keep the protocol, or a parameter is
            unknown or ill-typed.
    """
    strategy_class = _strategy_class(_module(which), which)
    settings, own = split_parameters(given, strategy_class.Parameters)
    return strategy_class(own), settings


def _module(which: str) -> ModuleType:
    if which in built_in_names():
        return importlib.import_module(f"{strategies.__name__}.{which}")
    path = Path(which)
    if path.suffix != ".py" and not path.exists():
        raise StrategyError(
            f"there is no strategy {which!r}",
            f"choose from {', '.join(built_in_names())}, or give the path of a .py file",
        )
    if not path.is_file():
        raise StrategyError(f"there is no strategy file {path}", CURE)
    name = f"quant_user_strategy_{path.stem}"
    specification = importlib.util.spec_from_file_location(name, path)
    if specification is None or specification.loader is None:
        raise StrategyError(f"strategy file {path} cannot be loaded as Python", CURE)
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module  # dataclasses look their module up while it is being executed
    try:
        specification.loader.exec_module(module)
    except Exception as error:
        raise StrategyError(f"strategy file {path} fails on import: {type(error).__name__}: {error}", CURE) from error
    return module


def _strategy_class(module: ModuleType, which: str) -> Any:
    found: list[Any] = [
        thing
        for thing in vars(module).values()
        if isinstance(thing, type)
        and thing.__module__ == module.__name__
        and (hasattr(thing, "signals") or hasattr(thing, "on_tick"))
    ]
    if len(found) != 1:
        raise StrategyError(
            f"strategy {which!r} defines {len(found)} classes with signals() or on_tick(), not one", CURE
        )
    strategy = found[0]
    needed = ["name", "Parameters"]
    needed += ["explain_entry", "explain_exit"] if hasattr(strategy, "signals") else ["snapshot", "restore"]
    missing = [name for name in needed if not hasattr(strategy, name)]
    if missing:
        raise StrategyError(f"strategy {which!r}: class {strategy.__name__} lacks {', '.join(missing)}", CURE)
    if not dataclasses.is_dataclass(strategy.Parameters):
        raise StrategyError(f"strategy {which!r}: its Parameters is not a dataclass", CURE)
    return strategy
