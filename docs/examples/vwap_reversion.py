"""Buy weakness below VWAP, sell when the price is back: a rule over the features of one tick."""

from dataclasses import dataclass

from quant_platform.services.strategy_runtime.strategy import Booleans, FeatureRow, Features


class VwapReversion:
    """Buy when the price stands some basis points below VWAP and RSI says oversold; sell at VWAP."""

    name = "vwap-reversion"

    @dataclass(frozen=True, slots=True)
    class Parameters:
        """What ``--set`` can change."""

        discount_bps: float = 50.0  # below VWAP, 1/100 of a percent
        rsi_oversold: float = 35.0

    def __init__(self, parameters: Parameters) -> None:
        self.parameters = parameters

    def signals(self, features: Features) -> tuple[Booleans, Booleans]:
        """Entry and exit per row."""
        f, p = features, self.parameters
        entry = (f.ltp < f.vwap * (1 - p.discount_bps / 10_000)) & (f.rsi < p.rsi_oversold)
        leave = f.ltp >= f.vwap
        return entry, leave

    def explain_entry(self, tick: FeatureRow) -> str:
        """The discount and RSI."""
        discount = 1 - tick.ltp / tick.vwap
        return f"price {tick.ltp:.2f} is {discount:.2%} below VWAP {tick.vwap:.2f}, RSI {tick.rsi:.1f}"

    def explain_exit(self, tick: FeatureRow) -> str:
        """There is one rule, so one text: reports group by it."""
        return "back at VWAP"
