"""Mutates valid bytes: flips, cuts, splices, huge lengths; and random noise.

All randomness comes from one `random.Random`, so a seed gives the same records again.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from random import Random

LENGTHS = (
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",  # Avro: the least 64-bit integer
    b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01",  # and the greatest
    b"\x80\x80\x80\x80\x10",  # two gigabytes
    b"\xff" * 12,  # an integer that goes on
    b"\x7f\xff\xff\xff",  # as Kafka writes lengths
    b"\xdd\xff\xff\xff\xff",  # msgpack: an array of four thousand million
    b"\xdf\xff\xff\xff\xff",  # a map of so many
    b"\xdb\xff\xff\xff\xff",  # a text of so many bytes
    b"\xc6\xff\xff\xff\xff",  # bytes, so many
    b"[" * 3_000,
    b"\x91" * 3_000,  # arrays in arrays, as msgpack writes them
    b"9" * 5_000,
    b"1" + b"0" * 400,
    b"cut-from-bytes\x00" + b"7" * 5_000 + b"\n",
    b"-1",
    b"1e999",
    b"Infinity",
    b'"\\ud800"',
    b"null",
    b"true",
    b"{}",
    b"[]",
)
"""Lengths and values that hurt a decoder that trusts them, in each of our encodings."""

ODD_VALUES: tuple[Any, ...] = (
    *(None, True, 0, 1, -1, 2**31, 2**63, 2**64, 10**18, 10**400, 0.5, -0.0, 1e308),
    *(float("inf"), float("nan"), "", "a", "\ud800", "\x00", "a/b", "x" * 3_000),
    *([], {}, [[]], [1], ["a", "a"], {"a": 1}, "task", "fork", "loop", "null"),
)
"""Values in a JSON document that its reader may not expect."""

NOISE_BYTES_MAX = 120
EDITS_MAX = 3


def flip(data: bytes, chance: Random) -> bytes:
    """Flip one bit."""
    at = chance.randrange(len(data))
    return data[:at] + bytes((data[at] ^ 1 << chance.randrange(8),)) + data[at + 1 :]


def overwrite(data: bytes, chance: Random) -> bytes:
    """Replace one byte, often by one at an edge."""
    at = chance.randrange(len(data))
    byte = chance.choice((0, 1, 2, 0x7F, 0x80, 0xFF, chance.randrange(256)))
    return data[:at] + bytes((byte,)) + data[at + 1 :]


def cut(data: bytes, chance: Random) -> bytes:
    """Drop the end, or the beginning."""
    at = chance.randrange(len(data))
    return data[:at] if chance.random() < 0.8 else data[at:]


def insert(data: bytes, chance: Random) -> bytes:
    """Insert some bytes."""
    at = chance.randrange(len(data) + 1)
    return data[:at] + chance.randbytes(chance.randint(1, 9)) + data[at:]


def remove(data: bytes, chance: Random) -> bytes:
    """Remove some bytes."""
    at = chance.randrange(len(data))
    return data[:at] + data[at + chance.randint(1, 9) :]


def blow_up(data: bytes, chance: Random) -> bytes:
    """Replace some bytes by a huge length or an odd value."""
    at = chance.randrange(len(data) + 1)
    end = at + chance.randint(0, 6)
    return data[:at] + chance.choice(LENGTHS) + data[end:]


def repeat(data: bytes, chance: Random) -> bytes:
    """Repeat a piece."""
    at = chance.randrange(len(data))
    end = at + chance.randint(1, 40)
    return data[:end] + data[at:end] + data[end:]


EDITS: tuple[Callable[[bytes, Random], bytes], ...] = (
    flip,
    overwrite,
    cut,
    insert,
    remove,
    blow_up,
    repeat,
)


def splice(first: bytes, second: bytes, chance: Random) -> bytes:
    """Join the beginning of one record and the end of another."""
    at, end = chance.randint(0, len(first)), chance.randint(0, len(second))
    return first[:at] + second[end:]


def change_json(data: bytes, chance: Random) -> bytes:
    """Replace or remove one value of a JSON document; other bytes stay the same."""
    try:
        document: object = json.loads(data)
    except ValueError:
        return data
    places = list(_places(document))
    if not places:
        return data
    inside, key = chance.choice(places)
    if chance.random() < 0.2:
        del inside[key]
    else:
        inside[key] = chance.choice(ODD_VALUES)
    return json.dumps(document).encode()


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every container with each of its keys or indexes."""
    value_type = value.__class__
    if value_type not in {dict, list}:
        return
    for key in tuple(value) if value_type is dict else range(len(value)):
        yield value, key
        yield from _places(value[key])


def mutated(samples: Sequence[bytes], chance: Random) -> bytes:
    """Return a record similar to one of `samples`, or noise after its head."""
    data = chance.choice(samples)
    form = chance.random()
    if form < 0.05:
        return chance.randbytes(chance.randint(0, NOISE_BYTES_MAX))
    if form < 0.1:
        return data[:10] + chance.randbytes(chance.randint(0, NOISE_BYTES_MAX))
    if form < 0.4 and data[:1] == b"{":
        for _ in range(chance.randint(1, EDITS_MAX)):
            data = change_json(data, chance)
        return data
    if form < 0.2:
        data = splice(data, chance.choice(samples), chance)
    for _ in range(chance.randint(1, EDITS_MAX)):
        if data:
            data = chance.choice(EDITS)(data, chance)
    return data
