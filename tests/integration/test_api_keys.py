"""Keys of the API: kept as hashes only, seen by no other database role, judged alike whatever is wrong with them."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from quant_platform.adapters.ledger.gateway import GatewayLedger
from quant_platform.cli import run_command
from quant_platform.domain.errors import ConfigurationError, UnavailableError, UsageError
from quant_platform.hosts import doorkeeper
from quant_platform.hosts.api_keys import MAX_NAME, allows, new_key, proves, seal, split_token, unseal
from quant_platform.hosts.doorkeeper import Doorkeeper
from quant_platform.ports.api_keys import Admission
from tests.servers import Database

from .ledger_days import everything, ledger_file

NOW = datetime(2026, 8, 3, 4, 0, tzinfo=UTC)


@pytest.fixture(params=["sqlite", "postgres"])
def keys(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[GatewayLedger]:
    where = ledger_file(tmp_path) if request.param == "sqlite" else request.getfixturevalue("database").url
    with GatewayLedger(where) as ledger:
        yield ledger


# The store.


def test_a_key_comes_back_as_it_was_kept_and_is_found_by_its_id_only(keys: GatewayLedger) -> None:
    first = new_key("laptop", ["read", "trade"], NOW, NOW + timedelta(days=30)).key
    second = new_key("ci", ["read"], NOW + timedelta(seconds=1)).key
    assert keys.add_key(second)
    assert keys.add_key(first)
    assert keys.list_keys() == [first, second]
    assert keys.find_key(first.key_id) == first
    assert keys.find_key(first.key_id.upper() + "0") is None


def test_a_key_that_is_there_is_not_replaced_even_once_it_was_revoked(keys: GatewayLedger) -> None:
    key = new_key("first", ["admin"], NOW).key
    assert keys.add_key(key)
    assert keys.revoke_key(key.key_id, NOW)
    assert not keys.add_key(key._replace(name="again"))
    assert keys.list_keys() == [key._replace(revoked_at=NOW)]


def test_a_key_is_revoked_once(keys: GatewayLedger) -> None:
    key = new_key("x", ["read"], NOW).key
    keys.add_key(key)
    assert keys.revoke_key(key.key_id, NOW)
    assert not keys.revoke_key(key.key_id, NOW + timedelta(days=1))
    assert not keys.revoke_key("0" * 12, NOW)
    assert [stored.revoked_at for stored in keys.list_keys()] == [NOW]


def test_the_secret_is_nowhere_in_the_database(tmp_path: Path) -> None:
    path = ledger_file(tmp_path)
    made = new_key("x", ["read"], NOW)
    with GatewayLedger(path) as ledger:
        ledger.add_key(made.key)
    secret = made.token[-43:]
    [row] = everything(path)["api_keys"]
    assert row[3].startswith("$argon2id$")
    assert secret not in str(row)
    assert secret.encode() not in path.read_bytes()


@pytest.mark.parametrize(
    "grant",
    [
        "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO {role}",
        "GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}",
        "GRANT pg_read_all_data TO {role}",
    ],
)
def test_a_role_that_may_read_every_table_still_sees_no_key(database: Database, grant: str) -> None:
    role = f"reader_{database.name}"
    before_the_tables = grant.startswith("ALTER DEFAULT")
    with database.connect() as admin:
        admin.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'reader'")
        try:
            if before_the_tables:
                admin.execute(grant.format(role=role))
            with GatewayLedger(database.url) as ledger:
                ledger.add_key(new_key("x", ["read"], NOW).key)
            if not before_the_tables:
                admin.execute(grant.format(role=role))
            wanted = database.settings.postgres
            where = {"host": wanted.host, "port": wanted.port, "dbname": database.name}
            with psycopg.connect(**where, user=role, password="reader", autocommit=True) as reader:
                assert reader.execute("SELECT count(*) FROM alembic_version").fetchone() == (1,)
                assert reader.execute("SELECT * FROM api_keys").fetchall() == []
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    reader.execute("DELETE FROM api_keys")
            assert admin.execute("SELECT count(*) FROM api_keys").fetchone() == (1,)
        finally:
            admin.execute(f"DROP OWNED BY {role}")
            admin.execute(f"DROP ROLE {role}")


# A key.


def test_a_key_is_random_and_proved_by_its_secret_alone() -> None:
    one, other = new_key("x", ["read"], NOW), new_key("x", ["read"], NOW)
    parts, others = split_token(one.token), split_token(other.token)
    assert parts is not None
    assert others is not None
    assert parts[0] == one.key.key_id != other.key.key_id
    assert proves(parts[1], one.key)
    assert not proves(others[1], one.key)
    assert not proves(parts[1], None)
    assert not proves(parts[1], one.key._replace(secret_hash="not a hash"))
    assert one.token not in repr(one) + str(one.key)


@pytest.mark.parametrize("token", ["", "quant_", "quant_{id}", "quant_{id}_", "{key} ", "x{key}", "{key}x", "{key}é"])
def test_what_is_not_written_like_a_key_is_none(token: str) -> None:
    made = new_key("x", ["read"], NOW)
    assert split_token(made.token) is not None
    assert split_token(token.format(id=made.key.key_id, key=made.token)) is None


def test_admin_includes_every_scope_and_trade_does_not_include_read() -> None:
    def held(*scopes: str) -> list[bool]:
        key = new_key("x", scopes, NOW).key
        return [allows(key, scope) for scope in ("read", "trade", "admin")]

    assert held("read") == [True, False, False]
    assert held("trade") == [False, True, False]
    assert held("trade", "read") == [True, True, False]
    assert held("admin") == [True, True, True]


@pytest.mark.parametrize(
    ("name", "scopes", "expires", "complaint"),
    [
        ("", ["read"], None, "a key's name has 1 to 100 characters"),
        ("x" * (MAX_NAME + 1), ["read"], None, "a key's name"),
        ("a\nb", ["read"], None, "a key's name"),
        ("x", [], None, "no scope — choose from read, trade, admin"),
        ("x", ["read", "write"], None, "unknown scope 'write' — choose from read, trade, admin"),
        ("x", ["read"], NOW, "would have expired at 2026-08-03 04:00 — give a later time"),
    ],
)
def test_a_key_that_would_be_of_no_use_is_not_made(
    name: str, scopes: list[str], expires: datetime | None, complaint: str
) -> None:
    with pytest.raises(UsageError, match=complaint):
        new_key(name, scopes, NOW, expires)


def test_a_sealed_key_is_one_word_without_the_secret_and_opens_again() -> None:
    made = new_key("first key", ["admin"], NOW, NOW + timedelta(days=1))
    word = seal(made.key)
    assert not set(word) & set(" $'\"\\#")
    assert made.token[-43:] not in word
    assert unseal(word) == made.key


@pytest.mark.parametrize("word", ["", "x", "%%%", "e30=", "bm8="])
def test_a_word_that_is_no_sealed_key_names_its_setting(word: str) -> None:
    with pytest.raises(ConfigurationError, match=r"api\.first_key is not a sealed key — take the word"):
        unseal(word)


# The doorkeeper.


def test_the_doorkeeper_judges_each_key_by_its_row(keys: GatewayLedger) -> None:
    now = NOW
    keeper = Doorkeeper(lambda: keys, lambda: now)
    made = new_key("x", ["read"], NOW, NOW + timedelta(hours=1))
    keys.add_key(made.key)
    stranger = new_key("x", ["read"], NOW).token
    wrong_secret = made.token[: len("quant_") + 13] + stranger[-43:]
    assert keeper.admit(made.token, "read") is Admission.ADMITTED
    assert keeper.admit(made.token, "trade") is Admission.NOT_ENOUGH
    for token in (stranger, wrong_secret, "", made.token.upper()):
        assert keeper.admit(token, "read") is Admission.UNKNOWN
    now = NOW + timedelta(hours=1)
    assert keeper.admit(made.token, "read") is Admission.EXPIRED
    assert keys.revoke_key(made.key.key_id, NOW)
    assert keeper.admit(made.token, "read") is Admission.REVOKED
    assert keeper.admit(wrong_secret, "read") is Admission.UNKNOWN, "only its holder is told that a key was revoked"


def test_the_slow_hash_is_computed_once_for_a_right_key_and_each_time_for_a_wrong_one(
    keys: GatewayLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    proofs = []

    def counted(secret: str, key: object) -> bool:
        proofs.append(secret)
        return proves(secret, key)  # type: ignore[arg-type]

    monkeypatch.setattr(doorkeeper, "proves", counted)
    made, stranger = new_key("x", ["read"], NOW), new_key("x", ["read"], NOW)
    keys.add_key(made.key)
    keeper = Doorkeeper(lambda: keys)
    for _ in range(3):
        assert keeper.admit(made.token, "read") is Admission.ADMITTED
        assert keeper.admit(stranger.token, "read") is Admission.UNKNOWN
    assert len(proofs) == 1 + 3


def test_a_proof_holds_for_the_hash_it_was_made_for_only(keys: GatewayLedger) -> None:
    made = new_key("x", ["read"], NOW)
    keys.add_key(made.key)
    keeper = Doorkeeper(lambda: keys)
    assert keeper.admit(made.token, "read") is Admission.ADMITTED
    with keys._writing() as connection:
        connection.exec_driver_sql("DELETE FROM api_keys")
    keys.add_key(made.key._replace(secret_hash=new_key("x", ["read"], NOW).key.secret_hash))
    assert keeper.admit(made.token, "read") is Admission.UNKNOWN


def test_a_doorkeeper_without_a_ledger_lets_nobody_in() -> None:
    def away() -> GatewayLedger:
        raise UnavailableError("away")

    with pytest.raises(UnavailableError):
        Doorkeeper(away).admit(new_key("x", ["read"], NOW).token, "read")


# The command.


@pytest.fixture
def shell(database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Database:
    for name, value in database.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return database


def test_a_key_is_made_listed_and_revoked_from_the_command_line(
    shell: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["api-key", "new", "my laptop", "--days", "30"]) == 0
    shown = capsys.readouterr()
    [token], [told] = shown.out.splitlines(), shown.err.splitlines()
    key_id = token.split("_")[1]
    assert told == f"key {key_id} for read: keep it now, it is not shown again"
    assert run_command(["api-key", "new", "desk", "--scope", "read", "--scope", "trade", "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert (made["name"], made["scopes"], made["state"]) == ("desk", "read, trade", "in force")
    with GatewayLedger(shell.url) as ledger:
        keeper = Doorkeeper(lambda: ledger)
        assert keeper.admit(token, "read") is keeper.admit(made["key"], "trade") is Admission.ADMITTED
        assert run_command(["api-key", "revoke", key_id]) == 0
        assert keeper.admit(token, "read") is Admission.REVOKED
    assert f"key {key_id} is refused from now on" in capsys.readouterr().out
    assert run_command(["api-key", "list", "--json"]) == 0
    listed = capsys.readouterr().out
    assert [key["state"].split()[0] for key in json.loads(listed)["keys"]] == ["revoked", "in"]
    assert run_command(["api-key", "list"]) == 0
    listed += capsys.readouterr().out
    assert "my laptop" in listed
    for secret in (token[-43:], made["key"][-43:], "argon2"):
        assert secret not in listed


def test_a_key_that_is_not_there_cannot_be_revoked(shell: Database, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["api-key", "revoke", "nope"]) == 2
    assert "no key 'nope' is in force — `quant api-key list` shows their ids" in capsys.readouterr().err
    assert run_command(["api-key", "list"]) == 0
    assert "no keys yet" in capsys.readouterr().out
