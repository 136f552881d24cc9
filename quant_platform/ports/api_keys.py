"""Keys of the HTTP API: what is stored of one, and where."""

from collections.abc import Sequence
from datetime import datetime
from enum import Enum
from typing import NamedTuple, Protocol


class ApiKey(NamedTuple):
    """A key as it is stored: what proves the secret, never the secret."""

    key_id: str
    name: str  # what it is for, as its maker wrote it
    scopes: tuple[str, ...]
    secret_hash: str  # Argon2id, with its own parameters and salt
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None


class Admission(Enum):
    """What a shown key is good for."""

    ADMITTED = "admitted"
    UNKNOWN = "unknown"  # no such key, or another secret: which of them is not told
    EXPIRED = "expired"  # told to who has proved to be its holder
    REVOKED = "revoked"
    NOT_ENOUGH = "not enough"  # it lacks the scope


class KeyStore(Protocol):
    """Keeps keys. A key that was revoked stays, so that nobody can bring it back."""

    def add_key(self, key: ApiKey) -> bool:
        """Keep a new key; False, and nothing changed, where its id is there already.

        Raises:
            UnavailableError: the store cannot be reached now.
        """
        ...

    def find_key(self, key_id: str) -> ApiKey | None:
        """The key of this id.

        Raises:
            UnavailableError: the store cannot be reached now.
        """
        ...

    def list_keys(self) -> Sequence[ApiKey]:
        """Every key, the oldest first.

        Raises:
            UnavailableError: the store cannot be reached now.
        """
        ...

    def revoke_key(self, key_id: str, when: datetime) -> bool:
        """Have a key refused from now on; False where there is none, or it was revoked before.

        Raises:
            UnavailableError: the store cannot be reached now.
        """
        ...
