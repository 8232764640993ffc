"""A file of settings is read as Java reads it; each setting knows its line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sayiir_es.core.model.errors import SettingsError
from sayiir_es.log.kafka.properties import parse_properties, read_properties

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        ("a=b", [(1, "a", "b")]),
        ("a:b\nc d\ne", [(1, "a", "b"), (2, "c", "d"), (3, "e", "")]),
        ("# a=b\n! c\n\n  d = e f ", [(4, "d", "e f ")]),
        ("a=b\\\n   c\nd=e", [(1, "a", "bc"), (3, "d", "e")]),
        (r"a\=b=c\\d\t\u00e9", [(1, "a=b", "c\\d\té")]),
        ("a==b=c", [(1, "a", "=b=c")]),
        ("a=b\r\nc=d\r\n", [(1, "a", "b"), (2, "c", "d")]),
        ("a=b\\", [(1, "a", "b")]),
    ],
)
def test_a_text_is_read_as_java_reads_properties(
    text: str, settings: list[tuple[int, str, str]]
) -> None:
    assert list(parse_properties(text)) == settings


def test_the_last_of_a_key_counts_and_names_its_line(tmp_path: Path) -> None:
    file = tmp_path / "client.properties"
    file.write_text("a=1\nb=2\na=3\n")
    entries = {entry.key: entry for entry in read_properties(file)}
    assert entries["a"].value == "3"
    assert entries["a"].source == f"{file}, line 3: a"


def test_a_value_may_stand_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secrets.properties").write_text("user=bob\npass=s3:cret\n")
    (tmp_path / "mounted").write_text("from a folder\n")
    monkeypatch.setenv("KAFKA_USER", "alice")
    file = tmp_path / "client.properties"
    file.write_text(
        f"a=${{file:{tmp_path}/secrets.properties:pass}}\n"
        f"b=${{dir:{tmp_path}:mounted}}\n"
        'c=user="${env:KAFKA_USER}";\n'
    )
    values = {entry.key: entry.value for entry in read_properties(file)}
    assert values == {"a": "s3:cret", "b": "from a folder", "c": 'user="alice";'}


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("${file:/nowhere:x}", "expected a file that can be read at '/nowhere'"),
        ("${file:secrets:y}", "expected 'y' in"),
        ("${dir:nowhere}", "but there is no name in 'nowhere'"),
        ("${env:SAYIIR_NOT_SET}", "expected 'SAYIIR_NOT_SET' in the environment"),
    ],
)
def test_what_cannot_be_found_elsewhere_is_named_with_the_line(
    tmp_path: Path, value: str, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secrets").write_text("x=hidden\n")
    file = tmp_path / "client.properties"
    file.write_text(f"\nsasl.password={value}\n")
    with pytest.raises(SettingsError, match=r"line 2: sasl\.password: ") as caught:
        read_properties(file)
    assert problem in str(caught.value)
    assert "hidden" not in str(caught.value)


def test_a_file_that_is_no_text_is_refused_without_showing_it(tmp_path: Path) -> None:
    file = tmp_path / "client.properties"
    file.write_bytes(b"secret\xff")
    with pytest.raises(SettingsError, match="but byte 6 is none") as caught:
        read_properties(file)
    assert "secret" not in str(caught.value)
