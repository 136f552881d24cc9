"""What a portfolio's owner can order. Nothing heavy is imported here: the command line begins with it."""

from enum import IntEnum


class Halt(IntEnum):
    """What the portfolio's owner has ordered; it holds until it is taken back."""

    NONE = 0
    NO_ENTRIES = 1
    """Pending entries are cancelled and no others are made; exits go on."""
    OUT = 2
    """Beside that, every position is sold."""

    @property
    def label(self) -> str:
        """In words, for screens."""
        return ("", "halted", "squared off")[self]
