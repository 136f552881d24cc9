"""Settings: one frozen model, read from a TOML file, a ``.env`` beside it and the environment.

Later layers win: defaults, the settings file, ``.env``, environment variables; within the last two, a
``QUANT_SECTION__KEY`` variable stands above the usual name (``UPSTOX_API_KEY``) of the same setting.
"""

import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self

from dotenv import dotenv_values
from pydantic import ConfigDict, Field, PrivateAttr, SecretStr, ValidationError

from quant_platform.domain.errors import ConfigurationError
from quant_platform.hosts import server_settings as servers
from quant_platform.hosts.server_settings import Frozen
from quant_platform.protocol.upstox.paths import API_HOST

SETTINGS_FILE = "quant.toml"
PREFIX = "QUANT_"
USUAL_NAMES: Mapping[str, tuple[str, str]] = {
    "UPSTOX_API_KEY": ("upstox", "api_key"),
    "UPSTOX_API_SECRET": ("upstox", "api_secret"),
    "UPSTOX_REDIRECT_URI": ("upstox", "redirect_uri"),
    "UPSTOX_ACCESS_TOKEN": ("upstox", "access_token"),
    "UPSTOX_BASE_URL": ("upstox", "base_url"),
    **servers.SERVER_VARIABLES,
}
"""Environment variables that users already have, and the settings they are."""


class _Given(NamedTuple):
    """One value of one layer."""

    section: str
    key: str
    value: object
    source: str


class UpstoxSettings(Frozen):
    """The user's own Upstox application and today's token, which dies at 03:30 IST."""

    api_key: SecretStr | None = None
    api_secret: SecretStr | None = None
    redirect_uri: str = "http://127.0.0.1:8080/callback"
    access_token: SecretStr | None = None
    base_url: str = API_HOST  # another one is a simulated exchange's


class TradingSettings(Frozen):
    """The strategy, and defaults for ``--set``: any further key is a parameter (``latency_ms = 500``)."""

    model_config = ConfigDict(extra="allow", coerce_numbers_to_str=True)
    __pydantic_extra__: dict[str, str]

    strategy: str = "momentum"

    @property
    def parameters(self) -> dict[str, str]:
        """Name → text, as ``--set`` would give them."""
        return dict(self.__pydantic_extra__)


class PathSettings(Frozen):
    """Where the platform keeps what it writes."""

    home: Path = Path("user_data")


class ScannerSettings(Frozen):
    """How often the scanner looks, and how many symbols it picks."""

    interval_min: Annotated[int, Field(ge=1, le=375)] = 5
    picks: Annotated[int, Field(ge=1, le=100)] = 5


class FeedSettings(Frozen):
    """What is subscribed to, and when silence counts as a lost connection."""

    subscribe: Literal["scanner", "all"] = "scanner"
    stall_after_s: Annotated[float, Field(gt=0, le=3600)] = 5.0
    depth: bool = True  # whether frames carry a book; the services of one platform must agree


class SettingLine(NamedTuple):
    """One setting as ``quant config show`` prints it."""

    name: str  # upstox.api_key
    value: str  # masked where secret; empty where unset
    source: str  # default | quant.toml | .env (UPSTOX_API_KEY) | environment (QUANT_UPSTOX__API_KEY)


class Settings(Frozen):
    """Every setting of the platform, made by :func:`load_settings`; knows where each value came from."""

    upstox: UpstoxSettings = UpstoxSettings()
    trading: TradingSettings = TradingSettings()
    paths: PathSettings = PathSettings()
    scanner: ScannerSettings = ScannerSettings()
    feed: FeedSettings = FeedSettings()
    kafka: servers.KafkaSettings = servers.KafkaSettings()
    postgres: servers.PostgresSettings = servers.PostgresSettings()
    questdb: servers.QuestdbSettings = servers.QuestdbSettings()
    redis: servers.RedisSettings = servers.RedisSettings()
    objects: servers.ObjectSettings = servers.ObjectSettings()
    runtime: servers.RuntimeSettings = servers.RuntimeSettings()
    service: servers.ServiceSettings = servers.ServiceSettings()
    api: servers.ApiSettings = servers.ApiSettings()
    doctor: servers.DoctorSettings = servers.DoctorSettings()

    _sources: Mapping[tuple[str, str], str] = PrivateAttr(default_factory=dict)
    _file: Path | None = PrivateAttr(default=None)

    @classmethod
    def _merged(cls, given: list["_Given"], file: Path | None) -> Self:
        """Validate the layers' values, the later above the earlier.

        Raises:
            ConfigurationError: a value is not of its setting's type, or the setting is unknown.
        """
        merged: dict[str, dict[str, Any]] = {}
        sources: dict[tuple[str, str], str] = {}
        for item in given:
            merged.setdefault(item.section, {})[item.key] = item.value
            sources[item.section, item.key] = item.source
        try:
            settings = cls.model_validate(merged)
        except ValidationError as error:
            raise _explained(error, sources) from None
        settings._sources = sources
        settings._file = file
        return settings

    @property
    def file(self) -> Path | None:
        """The settings file in force, None where there is none."""
        return self._file

    def source_of(self, section: str, key: str) -> str:
        """Where a value came from: ``default``, the file, or the variable's name."""
        return self._sources.get((section, key), "default")

    def describe(self) -> list[SettingLine]:
        """Every setting in order of the model, with its source and with secrets masked."""
        lines = []
        for section in type(self).model_fields:
            for key, value in getattr(self, section):
                shown = "" if value is None else "********" if isinstance(value, SecretStr) else str(value)
                lines.append(SettingLine(f"{section}.{key}", shown, self.source_of(section, key)))
        return lines


def load_settings(file: Path | None = None, folder: Path | None = None) -> Settings:
    """Read every layer anew.

    Args:
        file: the settings file; None for ``QUANT_CONFIG`` or, where that is unset, ``quant.toml``.
        folder: where to look for ``quant.toml`` and ``.env``; None for the current folder.

    Raises:
        ConfigurationError: a named file is missing or unreadable, or a setting is unknown or ill-typed.
    """
    folder = folder or Path.cwd()
    named = file or (Path(os.environ["QUANT_CONFIG"]) if os.environ.get("QUANT_CONFIG") else None)
    path = named or folder / SETTINGS_FILE
    found = path if path.is_file() else None
    if named is not None and found is None:
        raise ConfigurationError(f"settings file {path} does not exist", "check --config or QUANT_CONFIG")
    given: list[_Given] = []
    if found is not None:
        given += _from_file(found)
    beside = (found.parent if found is not None else folder) / ".env"
    if beside.is_file():
        given += _from_variables(_read_dotenv(beside), ".env")
    given += _from_variables(os.environ, "environment")
    return Settings._merged(given, found)


def _from_file(path: Path) -> Iterator[_Given]:
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"settings file {path} cannot be read: {error}", "correct it") from None
    for section, values in tables.items():
        if not isinstance(values, dict):
            raise ConfigurationError(
                f"setting {section!r} in {path} stands in no section", f"put it below one of {_sections()}"
            )
        if section not in Settings.model_fields:
            raise ConfigurationError(f"unknown section [{section}] in {path}", f"the sections are {_sections()}")
        for key, value in values.items():
            yield _Given(section, key, value, path.name)


def _read_dotenv(path: Path) -> dict[str, str]:
    try:
        return {name: value for name, value in dotenv_values(path).items() if value is not None}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}", "correct or remove it") from None


def _from_variables(variables: Mapping[str, str], layer: str) -> list[_Given]:
    """Settings among the variables, usual names first; an empty variable counts as unset."""
    given = [
        _Given(*USUAL_NAMES[name], value, f"{layer} ({name})")
        for name, value in variables.items()
        if name in USUAL_NAMES and value
    ]
    for name, value in variables.items():
        section, separator, key = name.removeprefix(PREFIX).lower().partition("__")
        if not name.startswith(PREFIX) or not separator or not value:
            continue
        if section not in Settings.model_fields:
            raise ConfigurationError(
                f"unknown section {section!r} in {layer} variable {name}", f"the sections are {_sections()}"
            )
        given.append(_Given(section, key, value, f"{layer} ({name})"))
    return given


def _sections() -> str:
    return ", ".join(Settings.model_fields)


def _explained(error: ValidationError, sources: Mapping[tuple[str, str], str]) -> ConfigurationError:
    """The first complaint, with the setting's name and source but never its value."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    section, key = str(first["loc"][0]), str(first["loc"][1])
    source = sources[section, key]
    if first["type"] == "extra_forbidden":
        known = ", ".join(getattr(Settings(), section).__class__.model_fields)
        return ConfigurationError(
            f"unknown setting {section}.{key} in {source}", f"the settings of {section} are {known}"
        )
    cure = "write the value in quotes" if first["type"] == "string_type" else "correct or remove it"
    return ConfigurationError(f"setting {section}.{key} in {source} is not valid: {first['msg']}", cure)
