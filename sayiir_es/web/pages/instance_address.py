"""The address of an instance's page, whatever its id is."""

from __future__ import annotations

from urllib.parse import quote


def quoted(instance_id: str) -> str:
    """An id as one part of an address."""
    return quote(instance_id, safe="", errors="surrogatepass")


def instance_address(instance_id: str) -> str:
    """The page of an instance.

    A browser takes `.` and `..` at the end of an address for folders, encoded or not.
    """
    if instance_id in (".", ".."):
        return f"/instances/?id={instance_id}"
    return f"/instances/{quoted(instance_id)}"
