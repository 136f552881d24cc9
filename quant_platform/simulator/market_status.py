"""What phase the exchange is in, in the words of the status endpoint and of the feed's market_info."""

from quant_platform.domain.session import PhaseKind, ist_date, midnight_ns, session_on
from quant_platform.domain.ticks import NS_PER_MS
from quant_platform.protocol.upstox import market_data_feed_pb2 as wire

SEGMENTS = (
    *("NSE_EQ", "NSE_FO", "NSE_INDEX", "NSE_COM", "NCD_FO", "BCD_FO"),
    *("BSE_EQ", "BSE_FO", "BSE_INDEX", "MCX_FO", "MCX_INDEX"),
)
EXCHANGES = {"NSE": "NSE_EQ", "BSE": "BSE_EQ", "NFO": "NSE_FO", "BFO": "BSE_FO", "MCX": "MCX_FO", "CDS": "NCD_FO"}
"""Exchange codes of the status endpoint → segment."""

_STATUS_OF_PHASE = {
    PhaseKind.PRE_OPEN_ENTRY: wire.PRE_OPEN_START,
    PhaseKind.PRE_OPEN_LIMIT_ENTRY: wire.PRE_OPEN_START,
    PhaseKind.PRE_OPEN_MATCH: wire.PRE_OPEN_END,
    PhaseKind.PRE_OPEN_BUFFER: wire.PRE_OPEN_END,
    PhaseKind.CONTINUOUS: wire.NORMAL_OPEN,
    PhaseKind.POST_CLOSE: wire.CLOSING_START,
}


def status_at(now_ns: int) -> tuple[wire.MarketStatus.ValueType, int]:
    """Status of the equity market, and since when (ns UTC)."""
    day = ist_date(now_ns)
    status, since = wire.NORMAL_CLOSE, midnight_ns(day)
    session = session_on(day)
    for phase in session.phases(cas_eligible=False) if session else ():
        if phase.start <= now_ns:
            status, since = _STATUS_OF_PHASE[phase.kind], phase.start
        if phase.end <= now_ns:
            status = wire.CLOSING_END if phase.kind is PhaseKind.POST_CLOSE else wire.NORMAL_CLOSE
            since = phase.end
    return status, since


def closing_auction_at(now_ns: int) -> tuple[str, int] | None:
    """Status of the closing auction and since when (ns UTC); None where none is held that day."""
    session = session_on(ist_date(now_ns))
    if session is None or not session.closing_auction:
        return None
    words = {
        PhaseKind.AUCTION_REFERENCE: "CTS_CLOSE",
        PhaseKind.AUCTION_ENTRY: "CAS_LM_START",
        PhaseKind.AUCTION_LIMIT_ENTRY: "CAS_M_STOP",
        PhaseKind.AUCTION_MATCH: "CAS_STOP",
    }
    begun = [phase for phase in session.phases(cas_eligible=True) if phase.kind in words and phase.start <= now_ns]
    return (words[begun[-1].kind], begun[-1].start) if begun else None


def market_info(now_ns: int) -> bytes:
    """The first frame of every feed."""
    status, _ = status_at(now_ns)
    info = wire.MarketInfo(segmentStatus=dict.fromkeys(SEGMENTS, status))
    auction = closing_auction_at(now_ns)
    if auction is not None:
        words, since = auction
        info.casMarketStatus["NSE_EQ"].CopyFrom(wire.StatusInfo(status=words, updatedTime=since // NS_PER_MS))
    frame = wire.FeedResponse(type=wire.market_info, currentTs=now_ns // NS_PER_MS, marketInfo=info)
    return frame.SerializeToString(deterministic=True)
