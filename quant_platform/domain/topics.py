"""Topic names and what travels on them: the only place that spells them."""

EQUITY_TICKS = "market.equity.ticks"
ENRICHED_TICKS = "market.enriched.ticks"
SCANNER_SUGGESTIONS = "scanner.suggestions"
OPTION_GREEKS = "market.option.greeks"
ORDER_EVENTS = "orders.events"

SCHEMA_VERSION = 1
