"""DBOS on a SQLite file in a folder."""

from __future__ import annotations

from dbos import DBOS


def launch(folder: str) -> None:
    """Open the database, make it if need be, and go on with what was left in it."""
    DBOS(
        config={
            "name": "bench",
            "system_database_url": f"sqlite:///{folder}/system.sqlite",
            "log_level": "ERROR",
            "application_version": "1",
            "executor_id": "bench",
        }
    )
    DBOS.launch()
