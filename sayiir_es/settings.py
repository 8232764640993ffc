"""Everything that the environment may set, in one class (`SAYIIR_*`).

`OTEL_*` are read by OpenTelemetry itself.
"""

from __future__ import annotations

import re
from pathlib import Path  # noqa: TC003 - pydantic reads it at run time
from typing import Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from sayiir_es.core.duration import duration_ms
from sayiir_es.core.model.errors import SettingsError

PREFIX = "SAYIIR_"

# What `backend_from_url` takes; repeated here so that all bad values are reported at
# once.
_BACKEND = re.compile(r"memory:|file:.+|kafka://[^/?#]+(/[^/?#]*)?/?", re.DOTALL)

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["console", "json"]


class Settings(BaseSettings):
    """The settings of the environment; what it does not set has its default."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,  # `SAYIIR_BACKEND= cmd` is how a shell unsets it
        frozen=True,
    )

    backend: str = Field(default="file:.sayiir/log.db", description="the backend's URL")
    state_dir: Path | None = Field(
        default=None,
        description="where stores are kept; by default the user's state folder",
    )
    log_level: LogLevel = Field(
        default="info", description="the least level that is logged"
    )
    log_format: LogFormat | None = Field(
        default=None, description="by default `console` in a terminal, `json` elsewhere"
    )
    schema_registry_url: str | None = Field(
        default=None,
        repr=False,  # it may hold a password
        description="http(s)://[USER:PASSWORD@]HOST[:PORT]; by default no registry",
    )
    signing_key: Path | None = Field(
        default=None,
        description="the PEM file of an Ed25519 key that signs checkpoints",
    )
    cloud_events: bool = Field(
        default=False, description="whether events on Kafka have CloudEvents' headers"
    )

    handover: float | None = Field(
        default=None,
        description="how long attempts of a partition that another worker is to own "
        "may run on: seconds, or a text such as 45s; by default 30 s",
    )
    snapshots_topic: bool = Field(
        default=False,
        description="whether owners on Kafka publish each instance's latest snapshot",
    )

    @field_validator("backend")
    @classmethod
    def _names_a_backend(cls, url: str) -> str:
        if _BACKEND.fullmatch(url) is None:
            raise ValueError(
                "expected memory:, file:PATH or "
                f"kafka://HOST:PORT[,HOST:PORT…]/APP, but {url!r}"
            )
        return url

    @field_validator("state_dir")
    @classmethod
    def _can_be_a_directory(cls, path: Path | None) -> Path | None:
        if path is not None and path.exists() and not path.is_dir():
            raise ValueError(f"expected a directory, but {str(path)!r} is a file")
        return path

    @field_validator("handover", mode="before")
    @classmethod
    def _is_a_duration(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        try:
            number = value.strip().replace(".", "", 1).isdigit()
            return duration_ms(float(value) if number else value) / 1000
        except ValueError as error:
            raise ValueError(
                f"expected seconds, or a text such as 45s or 2m, but {value!r}"
            ) from error

    @field_validator("log_level", "log_format", mode="before")
    @classmethod
    def _in_any_case(cls, word: object) -> object:
        return word.strip().lower() if isinstance(word, str) else word


def load_settings() -> Settings:
    """Read the environment.

    Raises:
        SettingsError: some values cannot be used; the message names every one of them.
    """
    try:
        return Settings()
    except ValidationError as error:
        problems = "; ".join(
            f"{PREFIX}{'_'.join(str(part) for part in detail['loc']).upper()}: "
            + _expectation(detail.get("ctx", {}), detail["input"], detail["msg"])
            for detail in error.errors()
        )
        raise SettingsError(f"expected usable settings, but {problems}") from error


def _expectation(context: dict[str, object], value: object, message: str) -> str:
    if "error" in context:  # raised by one of the validators above
        return str(context["error"])
    if "expected" in context:
        return f"expected {context['expected']}, but {value!r}"
    return f"{message}, but {value!r}"
