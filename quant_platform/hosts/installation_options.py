"""What the command line hands to who sets an installation up: see :mod:`~quant_platform.hosts.options`."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class LoginOptions:
    """A login to Upstox.

    Attributes:
        paste: ask for the address that the browser ends at, instead of listening for it.
        browser: open one.
        within_s: how long a login is waited for.
        json: print one JSON object.
        config: the settings file asked for, None for the usual one; the token goes into the ``.env`` beside it.
    """

    paste: bool = False
    browser: bool = True
    within_s: float = 300.0
    json: bool = False
    config: Path | None = None


@dataclass(frozen=True, slots=True)
class InitOptions:
    """The ``.env`` files of a checkout.

    Attributes:
        folder: root of the checkout.
        demo: for a simulated exchange instead of the real market.
        json: print one JSON object.
    """

    folder: Path = Path()
    demo: bool = False
    json: bool = False
