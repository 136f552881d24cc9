"""Compile the kernels that read records of the bus, which the services need and a backtest does not."""

from quant_platform.domain.depth_json import read_depth
from quant_platform.domain.enriched_json import KnownSymbols, read_enriched
from quant_platform.domain.records import NO_DEPTH, Depth, EnrichedRecord, encode


def warm_readers() -> None:
    """Run each through the types that it is called with."""
    known = KnownSymbols()
    known.add(["NSE_EQ:RELIANCE"])
    record = EnrichedRecord("NSE_EQ:RELIANCE", 1, 1, 100.0, 1, None, None, None, None, None, "N", 0, Depth([], []))
    read_enriched([encode(record)], known)
    read_depth([NO_DEPTH])
