"""Keys of the HTTP API in the ledger's database."""

from datetime import datetime
from typing import Any

from sqlalchemy import Row, insert, select, update
from sqlalchemy.exc import IntegrityError

from quant_platform.adapters.ledger.tables import api_keys
from quant_platform.adapters.ledger.views import LedgerDatabase
from quant_platform.ports.api_keys import ApiKey


class KeyLedger(LedgerDatabase):
    """The table ``api_keys`` (:class:`~quant_platform.ports.api_keys.KeyStore`)."""

    def add_key(self, key: ApiKey) -> bool:
        """Keep a new key; False, and nothing changed, where its id is there already.

        Raises:
            UnavailableError: the database cannot be reached or written.
        """
        row = key._asdict() | {"scopes": " ".join(key.scopes)}
        try:
            with self._writing() as connection:
                connection.execute(insert(api_keys), row)
        except IntegrityError:
            return False
        return True

    def find_key(self, key_id: str) -> ApiKey | None:
        """The key of this id.

        Raises:
            UnavailableError: the database cannot be reached.
        """
        with self._reading() as connection:
            row = connection.execute(select(api_keys).where(api_keys.c.key_id == key_id)).one_or_none()
        return None if row is None else _api_key(row)

    def list_keys(self) -> list[ApiKey]:
        """Every key, the oldest first.

        Raises:
            UnavailableError: the database cannot be reached.
        """
        with self._reading() as connection:
            query = select(api_keys).order_by(api_keys.c.created_at, api_keys.c.key_id)
            return [_api_key(row) for row in connection.execute(query)]

    def revoke_key(self, key_id: str, when: datetime) -> bool:
        """Have a key refused from now on; False where there is none, or it was revoked before.

        Raises:
            UnavailableError: the database cannot be reached or written.
        """
        here = (api_keys.c.key_id == key_id) & api_keys.c.revoked_at.is_(None)
        with self._writing() as connection:
            return connection.execute(update(api_keys).where(here).values(revoked_at=when)).rowcount == 1


def _api_key(row: Row[Any]) -> ApiKey:
    return ApiKey(**{**row._mapping, "scopes": tuple(row.scopes.split())})
