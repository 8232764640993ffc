"""Lines of data on stdout, for a reader that may leave before the end."""

from __future__ import annotations

import sys


class ReaderGoneError(Exception):
    """Whoever read what is printed has left (`| head`)."""


def write_line(text: str) -> None:
    """Write one line of data, at once: whoever reads a pipe is waiting."""
    try:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    except BrokenPipeError as error:
        raise ReaderGoneError from error
