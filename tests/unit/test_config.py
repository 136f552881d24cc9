"""Settings: layers, names, masking, and errors that name the setting and its source."""

from pathlib import Path

import pytest

from quant_platform.domain.errors import ConfigurationError
from quant_platform.hosts.config import load_settings

REPOSITORY = Path(__file__).resolve().parents[2]
TOKEN = "eyJ-not-a-real-token"


pytestmark = pytest.mark.usefixtures("bare_environment")


def write(folder: Path, toml: str = "", dotenv: str = "") -> None:
    if toml:
        (folder / "quant.toml").write_text(toml, encoding="utf-8")
    if dotenv:
        (folder / ".env").write_text(dotenv, encoding="utf-8")


def described(name: str) -> tuple[str, str]:
    return {line.name: (line.value, line.source) for line in load_settings().describe()}[name]


def test_without_any_source_every_value_is_a_default() -> None:
    settings = load_settings()
    assert settings.file is None
    assert settings.paths.home == Path("user_data")
    assert settings.trading.parameters == {}
    assert {line.source for line in settings.describe()} == {"default"}


def test_each_layer_stands_above_the_one_below_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, toml="[scanner]\ninterval_min = 10\n")
    assert described("scanner.interval_min") == ("10", "quant.toml")
    write(tmp_path, dotenv="QUANT_SCANNER__INTERVAL_MIN=15\n")
    assert described("scanner.interval_min") == ("15", ".env (QUANT_SCANNER__INTERVAL_MIN)")
    monkeypatch.setenv("QUANT_SCANNER__INTERVAL_MIN", "20")
    assert described("scanner.interval_min") == ("20", "environment (QUANT_SCANNER__INTERVAL_MIN)")
    assert load_settings().scanner.interval_min == 20


def test_the_usual_upstox_names_are_known_and_the_section_name_stands_above_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, dotenv=f"UPSTOX_ACCESS_TOKEN={TOKEN}\n")
    token = load_settings().upstox.access_token
    assert token is not None
    assert token.get_secret_value() == TOKEN
    monkeypatch.setenv("QUANT_UPSTOX__API_KEY", "one")
    monkeypatch.setenv("UPSTOX_API_KEY", "two")
    key = load_settings().upstox.api_key
    assert key is not None
    assert key.get_secret_value() == "one"


def test_a_changed_token_is_seen_by_the_next_reading(tmp_path: Path) -> None:
    for value in ("first", "second"):
        write(tmp_path, dotenv=f"UPSTOX_ACCESS_TOKEN={value}\n")
        token = load_settings().upstox.access_token
        assert token is not None
        assert token.get_secret_value() == value


def test_secrets_are_masked_wherever_settings_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPSTOX_ACCESS_TOKEN", TOKEN)
    settings = load_settings()
    assert described("upstox.access_token") == ("********", "environment (UPSTOX_ACCESS_TOKEN)")
    assert TOKEN not in repr(settings) + str(settings.describe()) + settings.model_dump_json()


def test_trading_parameters_become_the_texts_that_set_would_give(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, toml='[trading]\nstrategy = "my.py"\nlatency_ms = 500\nsquare_off = "15:10"\n')
    monkeypatch.setenv("QUANT_TRADING__RSI_ENTRY", "55.5")
    trading = load_settings().trading
    assert trading.strategy == "my.py"
    assert trading.parameters == {"latency_ms": "500", "square_off": "15:10", "rsi_entry": "55.5"}


def test_the_named_file_is_taken_instead_and_its_dotenv_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, toml="[scanner]\npicks = 1\n", dotenv="QUANT_SCANNER__INTERVAL_MIN=1\n")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "mine.toml").write_text("[scanner]\npicks = 9\n", encoding="utf-8")
    (elsewhere / ".env").write_text("QUANT_SCANNER__INTERVAL_MIN=30\n", encoding="utf-8")
    given = load_settings(elsewhere / "mine.toml")
    assert (given.scanner.picks, given.scanner.interval_min) == (9, 30)
    monkeypatch.setenv("QUANT_CONFIG", str(elsewhere / "mine.toml"))
    assert load_settings().scanner.picks == 9


@pytest.mark.parametrize(
    ("toml", "told"),
    [
        ("[scaner]\npicks = 1\n", ["[scaner]", "quant.toml", "scanner"]),
        ("[scanner]\npick = 1\n", ["scanner.pick", "quant.toml", "interval_min, picks"]),
        ("[scanner]\npicks = 'many'\n", ["scanner.picks", "quant.toml", "valid integer"]),
        ("[scanner]\npicks = 0\n", ["scanner.picks", "greater than or equal to 1"]),
        ("[feed]\nsubscribe = 'some'\n", ["feed.subscribe", "'scanner' or 'all'"]),
        ("picks = 1\n", ["'picks'", "no section"]),
        ("[api]\nservices = {a = 'http://127.0.0.1:abc'}\n", ["api.services", "name=http://host:port"]),
        ("[api]\nservices = {a = 'http://a..b'}\n", ["api.services", "name=http://host:port"]),
        ("[api]\nservices = {a = '127.0.0.1:80'}\n", ["api.services", "name=http://host:port"]),
        ("[trading]\nsquare_off = 15:10:00\n", ["trading.square_off", "in quotes"]),
        ("[scanner\n", ["quant.toml", "cannot be read"]),
    ],
)
def test_a_wrong_settings_file_is_refused_with_name_source_and_cure(tmp_path: Path, toml: str, told: list[str]) -> None:
    write(tmp_path, toml=toml)
    with pytest.raises(ConfigurationError) as caught:
        load_settings()
    assert all(part in str(caught.value) for part in told), str(caught.value)
    assert caught.value.exit_code == 2
    assert caught.value.cure


@pytest.mark.parametrize(
    ("variable", "told"),
    [
        ("QUANT_TRADNG__STRATEGY", "unknown section 'tradng' in environment variable QUANT_TRADNG__STRATEGY"),
        (
            "QUANT_UPSTOX__ACESS_TOKEN",
            "unknown setting upstox.acess_token in environment (QUANT_UPSTOX__ACESS_TOKEN)",
        ),
        ("QUANT_SCANNER__PICKS", "setting scanner.picks in environment (QUANT_SCANNER__PICKS) is not valid"),
        ("QUANT_API__SERVICES", "setting api.services in environment (QUANT_API__SERVICES) is not valid"),
    ],
)
def test_a_wrong_variable_is_refused_and_its_value_is_never_shown(
    monkeypatch: pytest.MonkeyPatch, variable: str, told: str
) -> None:
    monkeypatch.setenv(variable, TOKEN)
    with pytest.raises(ConfigurationError) as caught:
        load_settings()
    assert told in str(caught.value)
    assert TOKEN not in str(caught.value)


def test_a_named_file_that_is_missing_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="does not exist"):
        load_settings(Path("absent.toml"))


def test_settings_cannot_be_changed_after_loading() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_settings().scanner.picks = 3


def test_the_documented_settings_file_holds_every_setting_with_its_default() -> None:
    documented = load_settings(REPOSITORY / "docs" / "quant.toml")
    assert documented.model_dump() == load_settings().model_dump()
    unset = {line.name for line in documented.describe() if line.source == "default"}
    assert unset == {
        *("upstox.api_key", "upstox.api_secret", "upstox.access_token"),
        *("postgres.password", "questdb.pg_password"),
        *("objects.endpoint_url", "objects.access_key_id", "objects.secret_access_key"),
        "api.first_key",
    }


@pytest.mark.parametrize("given", ["kafka:9092", "127.0.0.1:9092, 10.0.0.2:9093", "[::1]:9092", "a-1.example.com:1"])
def test_brokers_are_hosts_with_ports(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", given)
    assert load_settings().kafka.bootstrap_servers == given


@pytest.mark.parametrize(
    "given", ["kafka", "kafka:many", "kafka:0", "kafka:70000", "http://kafka:9092", ",", "a:1,,b:2"]
)
def test_what_is_no_broker_is_refused(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", given)
    with pytest.raises(ConfigurationError, match=r"kafka.bootstrap_servers in environment \(KAFKA_BOOTSTRAP_SERVERS\)"):
        load_settings()
