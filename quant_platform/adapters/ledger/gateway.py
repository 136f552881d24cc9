"""What the API gateway asks of the ledger's database: keys and pages, over one pool of connections."""

from quant_platform.adapters.ledger.api_keys import KeyLedger
from quant_platform.adapters.ledger.pages import PagedLedger


class GatewayLedger(KeyLedger, PagedLedger):
    """Both a ``KeyStore`` and ``LedgerPages``; threads may share it."""

    patience_s = 5.0  # whoever asks over HTTP waits for this
