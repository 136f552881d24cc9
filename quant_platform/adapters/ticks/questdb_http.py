"""QuestDB over HTTP: where it is, one statement at a time, and its faults in our words."""

from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import httpx
import msgspec

from quant_platform.domain.errors import ConfigurationError, UnavailableError

URL_SETTING = "questdb.http_url"
_DEFAULT_PORT = 9000


class Address(NamedTuple):
    """Where QuestDB answers HTTP, and as whom."""

    secure: bool
    host: str
    port: int
    user: str | None
    password: str | None

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class _Answer(msgspec.Struct):
    dataset: list[list[Any]] = []


class _Refusal(msgspec.Struct):
    error: str


def address_of(url: str) -> Address:
    """The parts of ``http://user:password@host:9000``; user and password may be left out, both.

    Raises:
        ConfigurationError: it is not like that. The message does not repeat it, since it may hold a password.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or _DEFAULT_PORT
    except ValueError:
        host, port = None, 0
    is_login = parts.username is None or parts.password is not None
    if not host or parts.scheme not in {"http", "https"} or parts.path.strip("/") or parts.query or not is_login:
        raise ConfigurationError(
            f"{URL_SETTING} cannot be read", "write it like http://user:password@host:9000, without a path"
        ) from None
    user, password = (None if part is None else unquote(part) for part in (parts.username, parts.password))
    return Address(parts.scheme == "https", host, port, user, password)


def refused_login(address: Address) -> ConfigurationError:
    """The error of a wrong user or password."""
    return ConfigurationError(
        f"QuestDB at {address} refuses user or password",
        f"correct those in {URL_SETTING}; they are http.user and http.password of its server.conf",
    )


def cannot_be_reached(address: Address, why: object) -> UnavailableError:
    """The error of a server that is away."""
    return UnavailableError(f"QuestDB at {address} cannot be reached: {why}", f"start it, or correct {URL_SETTING}")


class QuestdbHttp:
    """A connection that carries statements.

    Args:
        address: of the server.
        timeout_s: for one statement.
    """

    def __init__(self, address: Address, timeout_s: float) -> None:
        self._address = address
        self._client = httpx.Client(
            base_url=f"{'https' if address.secure else 'http'}://{address}",
            auth=None if address.user is None else (address.user, address.password or ""),
            timeout=timeout_s,
            trust_env=False,
            verify=address.secure,  # else nobody has to load the certificates of the world, for 45 ms
        )

    def ask(self, statement: str) -> list[list[Any]]:
        """The rows that a statement answers with; none where it only does something.

        Raises:
            UnavailableError: the server cannot be reached, or cannot do it now.
            ConfigurationError: user or password are wrong, this is no QuestDB, or one that does not know the statement.
        """
        try:
            reply = self._client.get("/exec", params={"query": statement})
        except httpx.HTTPError as error:
            raise cannot_be_reached(self._address, error) from None
        if reply.status_code in {401, 403}:
            raise refused_login(self._address)
        try:
            if reply.status_code == httpx.codes.OK:
                return msgspec.json.decode(reply.content, type=_Answer).dataset
            refusal = msgspec.json.decode(reply.content, type=_Refusal).error
        except msgspec.DecodeError:
            raise ConfigurationError(
                f"what answers at {self._address} is no QuestDB (HTTP {reply.status_code})", f"correct {URL_SETTING}"
            ) from None
        if reply.is_server_error or is_momentary(refusal):
            raise UnavailableError(
                f"QuestDB at {self._address} cannot work now: {refusal}", "look into its log and at its disk"
            )
        raise ConfigurationError(
            f"QuestDB at {self._address} refuses `{statement}`: {refusal}", "the platform needs QuestDB 9.3 or newer"
        )

    def close(self) -> None:
        """Let go of the connection."""
        self._client.close()


def is_momentary(refusal: str) -> bool:
    """Whether a refusal comes from the machine (disk full, too many files, table busy) and not from what was asked."""
    text = refusal.lower()
    return any(sign in text for sign in ("errno", "no space left", "busy", "timeout", "memory"))
