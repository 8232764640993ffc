"""What owners with a key wrote is proved by `verify`, on the topic and as an export."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from sayiir_es import backend_from_url, run_durable_workflow
from sayiir_es.audit import export, import_export, verify, verify_export
from sayiir_es.core.model.errors import UsageError
from sayiir_es.core.model.events import PartitionClaimed, PositionUpdated
from sayiir_es.engine.owner.claim_records import configured_signer
from sayiir_es.wire.events import decode_event, encode_event
from sayiir_es.wire.signing import load_public_keys
from tests.audit.chained_records import KEY, OTHER_KEY
from tests.audit.export.export_logs import doubling
from tests.log.embedded.tampering import replace_value

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

NO_PASSWORD = NoEncryption()


def write_private(
    path: Path, key: Ed25519PrivateKey, password: KeySerializationEncryption
) -> Path:
    data = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, password)
    path.write_bytes(data)
    return path


def write_public(path: Path, *keys: Ed25519PrivateKey) -> Path:
    form = (Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    path.write_bytes(b"".join(key.public_key().public_bytes(*form) for key in keys))
    return path


@pytest.fixture
def public(tmp_path: Path) -> Path:
    """The public key of those who own the log."""
    return write_public(tmp_path / "public.pem", KEY)


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A log of three owners one after the other, each with the key."""
    path = write_private(tmp_path / "signing.pem", KEY, NO_PASSWORD)
    monkeypatch.setenv("SAYIIR_SIGNING_KEY", str(path))
    url = f"file:{tmp_path / 'log.db'}"
    for name in ("a", "b", "c"):
        with backend_from_url(url) as backend:  # each owns the log, and claims
            assert run_durable_workflow(doubling, name, 21, backend).output == 42
    return url


def events_of(url: str) -> list[bytes]:
    with sqlite3.connect(url.removeprefix("file:")) as file:
        rows = file.execute(
            "select value from records where topic = 'events' order by offset"
        )
        return [value for (value,) in rows]


def test_what_owners_with_a_key_wrote_is_proved_by_the_public_one(
    url: str, public: Path, tmp_path: Path
) -> None:
    verdict = verify(url, public_key=public)
    assert verdict.holds
    [proof] = verdict.proofs
    last = max(
        offset
        for offset, value in enumerate(events_of(url))
        if isinstance(decode_event(value).body, PartitionClaimed)
    )
    assert (proof.end, proof.proved, proof.signed) == (last, last, True)
    assert proof.events == verdict.events > last

    export(url, tmp_path / "export")
    assert verify_export(tmp_path / "export", public_key=public) == verdict
    copy = f"file:{tmp_path / 'copy.db'}"
    import_export(copy, tmp_path / "export")
    assert verify(copy, public_key=public) == verdict


def test_a_changed_input_is_named_up_to_the_checkpoint_behind_it(
    url: str, public: Path
) -> None:
    values = events_of(url)
    at, event = next(
        (offset, event)
        for offset, event in enumerate(map(decode_event, values))
        if isinstance(event.body, PositionUpdated)
    )
    lie = encode_event(replace(event, cause="owed:1"))
    replace_value(Path(url.removeprefix("file:")), at, lie)
    for verdict in (verify(url), verify(url, public_key=public)):
        violations = [
            one for one in verdict.violations if one.invariant == "checkpoint"
        ]
        assert [(one.partition, one.offset) for one in violations] == [(0, 0)]
        past = int(violations[0].expected.split(" to ")[1].split(" ")[0])
        assert at <= past < len(values)


def test_a_log_of_owners_without_the_key_has_nothing_to_show(
    tmp_path: Path, public: Path
) -> None:
    url = f"file:{tmp_path / 'log.db'}"
    run_durable_workflow(doubling, "a", 21, backend=url)
    assert verify(url).holds
    [violations] = verify(url, public_key=public).violations
    assert (violations.invariant, violations.partition) == ("checkpoint", 0)
    assert violations.expected == "a checkpoint that is signed with the public key"


def test_a_key_that_was_replaced_goes_on_to_prove_what_it_signed(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_private(tmp_path / "new.pem", OTHER_KEY, NO_PASSWORD)
    monkeypatch.setenv("SAYIIR_SIGNING_KEY", str(path))
    run_durable_workflow(doubling, "d", 21, backend=url)
    both = write_public(tmp_path / "both.pem", KEY, OTHER_KEY)
    assert verify(url, public_key=both).holds
    assert not verify(url, public_key=write_public(tmp_path / "p", OTHER_KEY)).holds


def test_a_public_key_is_asked_of_whole_logs_only(url: str, public: Path) -> None:
    with pytest.raises(UsageError, match=r"^expected a whole log for a public key"):
        verify(url, instance_id="a", public_key=public)


# --- files of keys --------------------------------------------------------------------


def test_what_is_no_private_key_is_told_before_anything_is_owned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "key.pem"
    monkeypatch.setenv("SAYIIR_SIGNING_KEY", str(path))
    with pytest.raises(UsageError, match=r"expected a key .* but No such file"):
        run_durable_workflow(doubling, "a", 1, backend=f"file:{tmp_path / 'log.db'}")
    write_private(path, KEY, BestAvailableEncryption(b"secret"))
    with pytest.raises(UsageError, match=r"expected a private key without a password"):
        configured_signer()
    path.write_bytes(b"no key")
    with pytest.raises(UsageError, match=r"expected a private key without a password"):
        configured_signer()
    other = generate_private_key(SECP256R1())
    form = (Encoding.PEM, PrivateFormat.PKCS8, NO_PASSWORD)
    path.write_bytes(other.private_bytes(*form))
    with pytest.raises(UsageError, match=r"expected an Ed25519 key"):
        configured_signer()


def test_what_is_no_public_key_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    with pytest.raises(UsageError, match=r"expected a key .* but No such file"):
        load_public_keys(path)
    write_private(path, KEY, NO_PASSWORD)
    with pytest.raises(UsageError, match=r"expected a public key .* there is none"):
        load_public_keys(path)
    public = generate_private_key(SECP256R1()).public_key()
    form = (Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    path.write_bytes(public.public_bytes(*form))
    with pytest.raises(UsageError, match=r"expected Ed25519 keys"):
        load_public_keys(path)
    path.write_bytes(b"-----BEGIN PUBLIC KEY-----\n!\n-----END PUBLIC KEY-----\n")
    with pytest.raises(UsageError, match=r"expected public keys"):
        load_public_keys(path)
