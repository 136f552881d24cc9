"""The momentum strategy: above VWAP, rising, and more bids than offers."""

from dataclasses import dataclass

from quant_platform.services.strategy_runtime.strategy import Booleans, FeatureRow, Features


class Momentum:
    """Buy when price > VWAP, RSI > 50 and OBI > 0; sell when price < VWAP or RSI < 45."""

    name = "momentum"

    @dataclass(frozen=True, slots=True)
    class Parameters:
        """What ``--set`` can change."""

        rsi_entry: float = 50.0
        rsi_exit: float = 45.0

    def __init__(self, parameters: Parameters) -> None:
        self.parameters = parameters

    def signals(self, features: Features) -> tuple[Booleans, Booleans]:
        """Entry and exit per row."""
        f, p = features, self.parameters
        entry = (f.ltp > f.vwap) & (f.rsi > p.rsi_entry) & (f.obi > 0)
        leave = (f.ltp < f.vwap) | (f.rsi < p.rsi_exit)
        return entry, leave

    def explain_entry(self, tick: FeatureRow) -> str:
        """All three factors with their values."""
        return f"price {tick.ltp:.2f} above VWAP {tick.vwap:.2f}, RSI {tick.rsi:.1f}, OBI {tick.obi:.2f}"

    def explain_exit(self, tick: FeatureRow) -> str:
        """The factor that failed, price first."""
        return "below VWAP" if tick.ltp < tick.vwap else f"RSI below {self.parameters.rsi_exit:g}"
