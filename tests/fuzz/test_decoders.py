"""Decoders read a million random records: each gives a value or a typed error.

Records that once broke a decoder are in `crashers/` and are read in every run. A run
prints its seed; with `SAYIIR_FUZZ_SEED` it reads the same records again.
"""

from __future__ import annotations

import os

import pytest

from tests.fuzz.decoders import WIRE_DECODERS, Decoder
from tests.fuzz.fuzzer import CRASHERS, crashers_of, failure_message, fuzz, replay
from tests.fuzz.kafka_decoders import KAFKA_DECODERS
from tests.fuzz.store_decoders import STORE_DECODERS
from tests.seeds import first_seed

DECODERS = (*WIRE_DECODERS, *STORE_DECODERS, *KAFKA_DECODERS)
RECORDS, RECORDS_LONG = 200_000, 1_000_000
SHARES = sum(decoder.share for decoder in DECODERS)
SEED = os.environ.get("SAYIIR_FUZZ_SEED", "") or f"{first_seed():x}"

each_decoder = pytest.mark.parametrize(
    "decoder", DECODERS, ids=lambda decoder: decoder.name
)


def feed(decoder: Decoder, seed: str, records: int) -> None:
    """Feed a decoder its share of `records`."""
    report = fuzz(decoder, seed, records * decoder.share // SHARES)
    print(f"{decoder.name}, SAYIIR_FUZZ_SEED={seed}: {report}")  # noqa: T201
    assert not report.crashers, failure_message(decoder, seed, report)
    assert report.refused or not decoder.refusals


@each_decoder
def test_a_decoder_reads_its_samples(decoder: Decoder) -> None:
    for data in decoder.samples:
        decoder.read(data)


@each_decoder
def test_fresh_records_are_read_or_refused_with_a_typed_error(decoder: Decoder) -> None:
    feed(decoder, SEED, RECORDS)


@pytest.mark.long
@each_decoder
def test_a_million_records_are_read_or_refused_with_a_typed_error(
    decoder: Decoder,
) -> None:
    feed(decoder, SEED, RECORDS_LONG)


@each_decoder
def test_a_record_that_broke_a_decoder_once_does_not_break_it_again(
    decoder: Decoder,
) -> None:
    for name, data in crashers_of(decoder.name):
        report = replay(decoder, data)
        assert not report.crashers, (name, report.crashers[0][1])


def test_each_crasher_belongs_to_a_decoder() -> None:
    names = {decoder.name for decoder in DECODERS}
    names_of_files = {file.name.partition(".")[0] for file in CRASHERS.iterdir()}
    assert names_of_files <= names


def test_a_seed_gives_the_same_records_again() -> None:
    decoder = DECODERS[0]
    one, other = (fuzz(decoder, "same", 500) for _ in range(2))
    assert (one.records, one.refused) == (other.records, other.refused)
