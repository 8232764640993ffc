"""Decoders take a million records that no one of us wrote: a value or a typed error.

What was found once is kept in `kept/`, and read again in every run. A run begins with
its seed; `SAYIIR_FUZZ_SEED` gives the same records again.
"""

from __future__ import annotations

import os
import secrets

import pytest

from tests.fuzz.decoders import WIRE_DECODERS, Decoder
from tests.fuzz.fuzzing import KEPT, fuzz, kept_records, replay, told
from tests.fuzz.kafka_decoders import KAFKA_DECODERS
from tests.fuzz.store_decoders import STORE_DECODERS

DECODERS = (*WIRE_DECODERS, *STORE_DECODERS, *KAFKA_DECODERS)
RECORDS, RECORDS_LONG = 200_000, 1_000_000
SHARES = sum(decoder.share for decoder in DECODERS)
SEED = os.environ.get("SAYIIR_FUZZ_SEED", "") or secrets.token_hex(4)

each_decoder = pytest.mark.parametrize(
    "decoder", DECODERS, ids=lambda decoder: decoder.name
)


def feed(decoder: Decoder, seed: str, records: int) -> None:
    """Feed a decoder its share of so many records."""
    report = fuzz(decoder, seed, records * decoder.share // SHARES)
    print(f"{decoder.name}, SAYIIR_FUZZ_SEED={seed}: {report}")  # noqa: T201
    assert not report.crashers, told(decoder, seed, report)
    assert report.refused or not decoder.refusals


@each_decoder
def test_what_it_was_made_for_is_read(decoder: Decoder) -> None:
    for data in decoder.samples:
        decoder.read(data)


@each_decoder
def test_fresh_records_are_read_or_refused_in_words(decoder: Decoder) -> None:
    feed(decoder, SEED, RECORDS)


@pytest.mark.long
@each_decoder
def test_a_million_records_are_read_or_refused_in_words(decoder: Decoder) -> None:
    feed(decoder, SEED, RECORDS_LONG)


@each_decoder
def test_what_broke_it_once_breaks_it_no_more(decoder: Decoder) -> None:
    for name, data in kept_records(decoder.name):
        report = replay(decoder, data)
        assert not report.crashers, (name, report.crashers[0][1])


def test_each_kept_record_is_of_a_decoder_that_there_is() -> None:
    names = {decoder.name for decoder in DECODERS}
    kept = {file.name.partition(".")[0] for file in KEPT.iterdir()}
    assert kept <= names


def test_a_seed_gives_the_same_records_again() -> None:
    decoder = DECODERS[0]
    one, other = (fuzz(decoder, "same", 500) for _ in range(2))
    assert (one.records, one.refused) == (other.records, other.refused)
