"""Rows as bytes and back; keys whose order is that of what they name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sayiir_es.core.model.commands import ForkWorkflow
from sayiir_es.core.model.errors import StoreError
from sayiir_es.core.model.position import CommandPosition, DeferredCommand, Position
from sayiir_es.core.model.rows import Row, Run
from sayiir_es.engine.store.port import StoreIdentity
from sayiir_es.engine.store.rocks import keys
from sayiir_es.engine.store.rocks.codec import (
    decode_position,
    decode_row,
    encode_position,
    encode_row,
)
from tests.engine.store.store_contract import cursors, endings, headers, others, runs

rows: st.SearchStrategy[Row] = st.one_of(
    headers, cursors, endings, runs, *others.values()
)
ids = st.text(st.characters(exclude_categories=["Cs"]), max_size=6) | st.text(
    st.sampled_from("\x00\x01\x02a\xff"), max_size=6
)
IDENTITY = StoreIdentity(cluster_id="c", events_topic_id="t", partition=0, partitions=1)


@given(row=rows)
def test_a_row_comes_back_as_it_was(row: Row) -> None:
    assert decode_row(encode_row(row)) == row


def test_equal_rows_are_equal_bytes() -> None:
    attributes = {"b": "1", "a": "2"}
    backwards = dict(reversed(attributes.items()))
    run, equal_run = (
        Run(
            workflow="w",
            definition_hash="d",
            graph_digest="g",
            attributes=given_order,
            started_at=1,
        )
        for given_order in (attributes, backwards)
    )
    assert run == equal_run
    assert encode_row(run) == encode_row(equal_run)


def test_a_position_comes_back_with_whose_it_is() -> None:
    fork = ForkWorkflow(
        instance_id="a", command_id="c", source_instance_id="é", source_sequence=2**40
    )
    places = [
        CommandPosition(partition=0, offset=2),
        CommandPosition(partition=0, offset=1, origin=(7, 8)),
    ]
    position = Position(
        offset=2**40,
        claim=-1,
        owner="é",
        next_command=3,
        at=4,
        origins={7: 8, 0: 1},
        deferred={
            place.offset: DeferredCommand(position=place, command=fork)
            for place in places
        },
    )
    data = encode_position(IDENTITY, position)
    assert decode_position(data) == (IDENTITY, position)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",  # no msgpack
        b"\xc0",  # None
        b"\xc3",  # True
        b"\x80",  # a mapping
        b"\x01\x01",  # two values
        b"\x90",  # no tag
        b"\x91\x63",  # an unknown tag
        b"\x91\xa1h",  # a tag that is no number
        b"\x92\x01\x01",  # a header with one field
        b"\x92\x00",  # cut short
        b"\xa1\xff",  # no UTF-8
    ],
)
def test_bytes_that_are_no_row_are_refused(data: bytes) -> None:
    with pytest.raises(StoreError, match=r"^expected .*, but "):
        decode_row(data)
    with pytest.raises(StoreError, match=r"^expected .*, but "):
        decode_position(data)


def test_what_no_row_may_hold_is_refused() -> None:
    with pytest.raises(StoreError, match="expected what a store can hold"):
        encode_row("\ud800")


@given(id_a=ids, id_b=ids)
def test_keys_of_instances_are_in_the_order_of_their_ids(id_a: str, id_b: str) -> None:
    first, second = keys.of_instance(id_a), keys.of_instance(id_b)
    assert (first < second) == (id_a < id_b)
    assert first == second or not second.startswith(first)
    assert (keys.behind(first) < second) == (id_a < id_b)


@given(instance_id=ids, row_key=ids, due_at=st.integers(0, 2**63))
def test_a_key_says_what_it_was_made_of(
    instance_id: str, row_key: str, due_at: int
) -> None:
    instance = keys.of_instance(instance_id)
    key = keys.ROW + instance + row_key.encode()
    assert keys.split(key) == (instance_id, row_key)
    assert keys.instance_part(key) == keys.ROW + instance
    timer = keys.split_timer(keys.timer(due_at, instance, row_key))
    assert timer == (due_at, instance_id, row_key)


@pytest.mark.parametrize("key", [b"I", b"Iabc", b"I\xff\x00\x01"])
def test_a_key_that_names_no_instance_is_refused(key: bytes) -> None:
    with pytest.raises(StoreError, match="expected a key"):
        keys.split(key)
