"""A graph as JSON, and as the value of a record: gzipped where it is large.

A fork of 10,000 branches is 1.3 MB of JSON that repeats itself: more than a broker
takes in one record, and 40 kB gzipped. A reader sees by the first two bytes which it
is: no JSON text begins so.
"""

from __future__ import annotations

import gzip
import json
import zlib

from sayiir_es.core.duration import MAX_MS
from sayiir_es.core.graph.codec import (
    FORMAT,
    canonical_json,
    chain_from_json,
    graph_json,
)
from sayiir_es.core.graph.graph import Graph, count_nodes
from sayiir_es.core.graph.nodes import NODES_MAX
from sayiir_es.core.graph.start_queue import queue_from_json
from sayiir_es.core.json_fields import Fields
from sayiir_es.core.model.errors import DecodeError, UsageError

PLAIN_BYTES_MAX = 100_000
"""What is larger is gzipped; what is smaller stays readable on the topic."""

GRAPH_BYTES_MAX = 32_000_000
"""Bytes of JSON that a reader unpacks at most: a record must not fill its memory. As
many nodes as a graph may have take a tenth of it."""

GZIP_MAGIC = b"\x1f\x8b"
_GZIP_WINDOW = zlib.MAX_WBITS | 16


def graph_to_json(graph: Graph) -> dict[str, object]:
    """A graph as JSON data."""
    return graph_json(
        graph.name,
        graph.metadata,
        graph.chain,
        graph.version,
        graph.timeout_ms,
        graph.start_queue,
    )


def canonical_graph(graph: Graph) -> bytes:
    """The graph as JSON: sorted keys, no blanks, UTF-8."""
    return canonical_json(
        graph.name,
        graph.metadata,
        graph.chain,
        graph.version,
        graph.timeout_ms,
        graph.start_queue,
    )


def graph_from_json(data: bytes) -> Graph:
    """The graph that canonical JSON describes.

    Raises:
        DecodeError: if it is not one, naming where and what was expected.
    """
    try:
        loaded: object = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DecodeError(f"expected the JSON of a graph, but {error}") from error
    fields = Fields(loaded, "$")
    if fields.integer("format") != FORMAT:
        raise DecodeError(f"expected a graph of format {FORMAT}, but another")
    chain = chain_from_json(fields, "chain")
    nodes = count_nodes(chain)
    if nodes > NODES_MAX:
        raise DecodeError(
            f"expected a graph of at most {NODES_MAX:,} nodes, but {nodes:,}"
        )
    queue = fields.data.get("start_queue")
    return Graph(
        name=fields.text("name"),
        metadata=fields.text_or_none("metadata"),
        chain=chain,
        version=fields.text_or_none("version"),
        timeout_ms=fields.integer_or_none("timeout_ms", MAX_MS),
        start_queue=queue_from_json(
            None if queue is None else Fields(queue, "$.start_queue")
        ),
    )


def record_of_graph(graph: Graph) -> bytes:
    """The value of a definition's record; equal graphs give equal bytes.

    Raises:
        UsageError: if it is larger than what a reader unpacks.
    """
    data = canonical_graph(graph)
    if len(data) > GRAPH_BYTES_MAX:
        raise UsageError(
            f"expected a workflow of at most {GRAPH_BYTES_MAX} bytes of JSON, but "
            f"{graph.name!r} has {len(data)}"
        )
    return data if len(data) <= PLAIN_BYTES_MAX else gzip.compress(data, mtime=0)


def graph_of_record(value: bytes) -> Graph:
    """The graph that a definition's record holds.

    Raises:
        DecodeError: if it holds none, naming where and what was expected.
    """
    if not value.startswith(GZIP_MAGIC):
        return graph_from_json(value)
    unpacker = zlib.decompressobj(_GZIP_WINDOW)
    try:
        data = unpacker.decompress(value, GRAPH_BYTES_MAX)
    except zlib.error as error:
        raise DecodeError(
            f"expected the gzipped JSON of a graph, but {error}"
        ) from error
    if not unpacker.eof:
        raise DecodeError(
            f"expected at most {GRAPH_BYTES_MAX} bytes of JSON, gzipped, but a record "
            f"of {len(value)} bytes that does not end there"
        )
    return graph_from_json(data)
