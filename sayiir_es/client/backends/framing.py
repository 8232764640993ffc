"""How the settings want the records of a log to look: frames, CloudEvents' headers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.environment import settings_where_set

if TYPE_CHECKING:
    from sayiir_es.log.port import Log


def with_framing(log: Log, app: str) -> Log:
    """The log with the framing that the settings ask for, or the log itself.

    Raises:
        SettingsError: if a setting cannot be used.
    """
    settings = settings_where_set("SAYIIR_SCHEMA_REGISTRY_URL", "SAYIIR_CLOUD_EVENTS")
    url = None if settings is None else settings.schema_registry_url
    if settings is None or (url is None and not settings.cloud_events):
        return log
    from sayiir_es.log.framing import FramedLog  # noqa: PLC0415 (slow to import)
    from sayiir_es.wire.confluent_frames import ConfluentFrames  # noqa: PLC0415
    from sayiir_es.wire.schema_registry import SchemaRegistry  # noqa: PLC0415

    frames = None if url is None else ConfluentFrames(SchemaRegistry(url))
    source = f"/{app}.events" if settings.cloud_events else None
    return FramedLog(log, frames, source)


def without_framing(log: Log) -> Log:
    """The log itself, below its framing if it has any."""
    from sayiir_es.log.framing import FramedLog  # noqa: PLC0415 (rarely needed)

    return log.inner if isinstance(log, FramedLog) else log
