"""What pages and API hide of what users wrote."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sayiir_es.core.model.errors import SettingsError, UsageError
from sayiir_es.web.masking import DEFAULT_NAMES, HIDDEN, Masking
from sayiir_es.web.settings import read_web_settings
from tests.captured_logs import capture_logs

MASKING = Masking(names=DEFAULT_NAMES)


@pytest.mark.parametrize(
    "name",
    [
        *("password", "token", "secret", "authorization", "card"),
        *("card_number", "api_token", "cardNumber", "Authorization", "DB_PASSWORD"),
        *("x-api-token", "clientSecret", "CARD"),
    ],
)
@pytest.mark.parametrize("value", ["x", 1, True, {"a": "x"}, ["x"], ""])
def test_a_value_of_such_a_name_is_hidden_at_any_depth(
    name: str, value: object
) -> None:
    assert MASKING.value({name: value}) == {name: HIDDEN}
    deep = {"a": [{"b": {name: value, "c": 1}}]}
    assert MASKING.value(deep) == {"a": [{"b": {name: HIDDEN, "c": 1}}]}


def test_what_is_not_there_is_not_hidden() -> None:
    assert MASKING.value({"token": None}) == {"token": None}


def test_other_names_and_values_are_shown() -> None:
    value = {"item": "teapot", "amount": 5, "tags": ["a", None, 1.5], "passed": True}
    assert MASKING.value(value) == value


def test_payloads_are_read_and_masked() -> None:
    assert MASKING.payload(b'{"card":"4111"}') == {"card": HIDDEN}
    assert MASKING.payload(b"no json token=abc") == {"text": f"no json token={HIDDEN}"}
    assert MASKING.payload(None) is None


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("password=hunter2", "password=***"),
        ("bad: {'api_token': 'abc', 'a': 1}", "bad: {'api_token': ***, 'a': 1}"),
        ('{"card_number": "4111 1111", "a": 1}', '{"card_number": ***, "a": 1}'),
        ("Authorization: Bearer abc.def", "Authorization: Bearer ***"),
        ("secret = s3, next", "secret = ***, next"),
        ("token=abc&page=2", "token=***&page=2"),
        ("CardDeclinedError: expected 199", "CardDeclinedError: expected 199"),
        (
            "TokenExpiredException: at=1 token=abc",
            "TokenExpiredException: at=1 token=***",
        ),
        ("https://ana:pw@host/db", "https://ana:***@host/db"),
        ("postgres://host/db", "postgres://host/db"),
        ("the token is wrong", "the token is wrong"),
        (
            "page_token: expected one, but token=1",
            "page_token: expected one, but token=***",
        ),
        ("token=expected", "token=***"),
        ('password="a \\" b" c', "password=*** c"),
    ],
)
def test_texts_hide_what_stands_behind_such_a_name(text: str, shown: str) -> None:
    assert MASKING.text(text) == shown
    assert MASKING.value({"error": text}) == {"error": shown}


def test_names_of_ours_and_of_nodes_hide_nothing() -> None:
    fields = {
        "path": "charge_card",
        "attempts": {"charge_card": 2},
        "values": {"result:charge_card": {"ok": True, "card": "4111"}},
        "output": {"card": "4111"},
        "attributes": {"card": "4111", "customer": "42"},
        "instance_id": "token=1",
    }
    assert MASKING.fields(fields) == {
        "path": "charge_card",
        "attempts": {"charge_card": 2},
        "values": {"result:charge_card": {"ok": True, "card": HIDDEN}},
        "output": {"card": HIDDEN},
        "attributes": {"card": HIDDEN, "customer": "42"},
        "instance_id": "token=1",
    }


def test_a_hook_hides_more_and_never_less() -> None:
    def hook(path: tuple[str | int, ...], value: object) -> object:
        return "…" if path and path[-1] == "email" else value

    masking = Masking(names=DEFAULT_NAMES, hook=hook)
    value = {"email": "a@b", "token": "x", "list": [{"email": "c@d"}]}
    assert masking.value(value) == {
        "email": "…",
        "token": HIDDEN,
        "list": [{"email": "…"}],
    }


def test_a_hook_is_asked_about_texts_behind_the_rules() -> None:
    def hook(_: tuple[str | int, ...], value: object) -> object:
        return value.replace("ana", "…") if isinstance(value, str) else value

    masking = Masking(names=DEFAULT_NAMES, hook=hook)
    assert masking.text("ana: token=abc") == "…: token=***"


def test_a_hook_that_raises_hides_the_value() -> None:
    def hook(path: tuple[str | int, ...], _: object) -> object:
        raise ValueError(path)

    with capture_logs() as lines:
        assert Masking(names=(), hook=hook).value("x") == HIDDEN
    assert [line["event"] for line in lines] == ["mask.failed"]


def test_names_and_hook_come_from_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SAYIIR_MASK_NAMES", "iban, email")
    monkeypatch.setenv("SAYIIR_MASK", "tests.web.security.test_masking:shout")
    masking = read_web_settings().masking
    assert masking.value({"IBAN": "DE1", "token": "x"}) == {
        "IBAN": HIDDEN,
        "token": "X",
    }
    monkeypatch.setenv("SAYIIR_MASK", "tests.web.security.test_masking:nothing")
    with pytest.raises(UsageError, match="SAYIIR_MASK"):
        read_web_settings()
    monkeypatch.setenv("SAYIIR_MASK", "")
    monkeypatch.setenv("SAYIIR_API_PROXY_ADDRESSES", "nonsense")
    with pytest.raises(SettingsError, match="SAYIIR_API_PROXY_ADDRESSES"):
        read_web_settings()


def shout(_: object, value: object) -> object:
    return value.upper() if isinstance(value, str) else value


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(JSON, st.text(max_size=5), st.sampled_from(DEFAULT_NAMES), st.text(max_size=5))
def test_whatever_is_around_it_a_secret_is_not_shown(
    value: object, before: str, name: str, behind: str
) -> None:
    secret = "S3CR3T-VALUE"  # noqa: S105 (of a test)
    inside = {"x": [value, {before + name + behind: {"deep": secret}}]}
    assert secret not in repr(MASKING.value(inside))


def test_a_long_text_takes_time_by_its_length() -> None:
    for piece in ("a", "token", 'token="', "token=", "://a:", 'token="\\'):
        text = piece * (300_000 // len(piece))
        began = time.process_time()
        MASKING.text(text)
        assert time.process_time() - began < 3, piece


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('no {"card": {"number": "4111", "cvc": 1}} here', 'no {"card": ***} here'),
        ("bad card={'number': ['4111', '2']}!", "bad card=***!"),
        ('"tokens": ["a", ["b"], "c"], "x": 1', '"tokens": ***, "x": 1'),
        ("postgres://u:p@ss@host/x and y@z", "postgres://u:***@host/x and y@z"),
    ],
)
def test_a_value_in_a_text_is_hidden_whole(text: str, shown: str) -> None:
    assert MASKING.text(text) == shown


@pytest.mark.parametrize("part", ["card:{", "card:[", "card:{card:[", "card:{}{a"])
def test_values_that_do_not_end_take_no_longer(part: str) -> None:
    started = time.perf_counter()
    MASKING.text(part * 20_000 + "a" * 100_000)
    assert time.perf_counter() - started < 2
