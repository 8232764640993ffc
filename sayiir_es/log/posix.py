"""What only the systems have that this package runs on: file locks, and forks."""

from __future__ import annotations

import os
import sys

try:
    import fcntl
except ImportError as missing:
    raise ImportError(
        "expected Linux or macOS, which sayiir_es runs workers and clients on, but "
        f"this is {sys.platform!r}: on Windows use WSL 2 or a container; another "
        "program can write commands to Kafka in any language (see the guide "
        "`producing-commands`)"
    ) from missing

__all__ = ["fcntl", "register_at_fork"]

register_at_fork = os.register_at_fork
