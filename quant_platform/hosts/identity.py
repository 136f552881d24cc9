"""What makes two runs of ``quant up`` the same run, so that one may go on where the other was interrupted."""

import json
from pathlib import Path
from typing import Any

from quant_platform.hosts.options import UpOptions

MODES = {"demo": "demo", "replay": "replay", "upstox": "paper"}
"""Source → mode of its runs in the ledger."""


def decided_by(identity: str, strategy: str, *settings: object) -> bool:
    """Whether a run of this identity was decided by that strategy with these settings.

    Args:
        identity: made by :func:`identity_of`.
        strategy: name or path, as it was given.
        settings: the first of those that were given to :func:`identity_of`, two at least.
    """
    known = json.loads(identity)
    return bool(known["strategy"] == strategy and known["settings"].startswith(repr(settings).removesuffix(")")))


def identity_of(options: UpOptions, settings: object) -> str:
    """Everything that makes two runs the same run, so that one may go on where the other was interrupted."""
    known: dict[str, Any] = {
        "source": options.source,
        "subscribe": options.subscribe,
        "strategy": options.strategy,
        "settings": repr(settings),
        "capital": options.capital,
    }
    if options.source != "upstox":
        known |= {"date": str(options.day), "seed": options.seed, "cut": options.cut}
        known["data"] = [_fingerprint(path) for path in options.data]
    return json.dumps(known, sort_keys=True)


def _fingerprint(given: str) -> list[Any]:
    """A file's name, size and age: the platform itself never opens it."""
    path = Path(given)
    try:
        found = path.stat()
    except OSError:  # a glob
        return [given]
    return [str(path.resolve()), found.st_size, found.st_mtime_ns]
