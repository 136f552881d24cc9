"""Every error the platform raises on purpose: one tree, with the exit code of each branch.

::

    QuantError                      exit 1   something failed
    ├── UsageError                  exit 2   the request cannot be carried out as it was given
    │   ├── ConfigurationError               a setting is unknown, missing or ill-typed
    │   ├── DataError                        a file is missing, unreadable or holds impossible values
    │   ├── CalendarError                    a date that the exchange calendar does not cover
    │   └── StrategyError                    an unknown strategy, or one that does not keep the protocol
    ├── SafetyError                 exit 3   refused because going on could do harm
    ├── BrokerError                 exit 1   the broker's API answered with an error
    │   ├── AuthenticationError     exit 2   the token is missing, wrong or past 03:30 IST
    │   └── RateLimitError                   429, or our own limit
    ├── UnavailableError            exit 1   a server cannot be reached now: wait and try again
    │   └── RefusedRecordError               a record was given up: begin anew from what is durable
    └── LedgerError                 exit 1   the stored ledger contradicts what it was asked to do
        └── FencedError             exit 3   another writer has taken the portfolio over

What a person sees is ``str(error)``: what happened, to what, and, after a dash, what to do about it.
"""


class QuantError(Exception):
    """Base of the tree.

    Args:
        what: what happened, naming the thing it happened to.
        cure: what the user can do about it; empty where nothing can be done.
    """

    exit_code = 1

    def __init__(self, what: str, cure: str = "") -> None:
        super().__init__(what, cure)
        self.what = what
        self.cure = cure

    def __str__(self) -> str:
        return f"{self.what} — {self.cure}" if self.cure else self.what


class UsageError(QuantError):
    """The request cannot be carried out as it was given."""

    exit_code = 2


class ConfigurationError(UsageError):
    """A setting is unknown, missing or ill-typed."""


class DataError(UsageError):
    """A file is missing, unreadable or holds impossible values."""


class CalendarError(UsageError):
    """A date that the exchange calendar does not cover."""


class StrategyError(UsageError):
    """An unknown strategy or parameter, or a strategy that does not keep the protocol."""


class SafetyError(QuantError):
    """Refused because going on could do harm."""

    exit_code = 3


class BrokerError(QuantError):
    """The broker's API answered with an error.

    Args:
        what: what was asked and what came back.
        cure: what the user can do about it.
        code: the broker's own code (``UDAPI100050``), empty when it sent none.
        status: the HTTP status, 0 when there was no reply.
    """

    def __init__(self, what: str, cure: str = "", *, code: str = "", status: int = 0) -> None:
        super().__init__(what, cure)
        self.code = code
        self.status = status


class AuthenticationError(BrokerError):
    """The token is missing, wrong or past 03:30 IST."""

    exit_code = 2


class RateLimitError(BrokerError):
    """The broker's rate limit, or our own guard before it, refused the call."""


class UnavailableError(QuantError):
    """A server cannot be reached now: wait and try again."""


class RefusedRecordError(UnavailableError):
    """A record that was handed over was given up, and waiting brings it no further: begin anew from what is durable."""


class LedgerError(QuantError):
    """The stored ledger contradicts what it was asked to do."""


class FencedError(LedgerError):
    """Another writer has taken the portfolio over; this one must not come back by itself."""

    exit_code = 3
