"""What a core of the platform is: batches in, facts out, and a state that can be carried elsewhere."""

from typing import Protocol


class Core(Protocol):
    """A pure service core. Its own batch methods differ; how its state travels does not."""

    def snapshot(self) -> bytes:
        """The whole state, such that a core restored from it answers as this one would."""
        ...

    def restore(self, state: bytes) -> None:
        """Go on from a snapshot of a core made with the same settings.

        Raises:
            LedgerError: the snapshot is of another shape or version.
        """
        ...
