"""What templates make of values."""

from __future__ import annotations

from sayiir_es.web.pages.templates import prose, timed


def test_times_in_a_sentence_are_elements_and_the_rest_is_escaped() -> None:
    assert timed("<b>\x1b[2J until 2026-11-30T20:45:31.785Z; & on") == (
        "&lt;b&gt;\\x1b[2J until "
        '<time datetime="2026-11-30T20:45:31.785Z">2026-11-30T20:45:31.785Z</time>'
        "; &amp; on"
    )


def test_a_sentence_without_times_is_text() -> None:
    assert timed("until 2026-11-30 or 12026-11-30T20:45:31Z") == (
        "until 2026-11-30 or 12026-11-30T20:45:31Z"
    )


def test_names_between_backticks_are_code_and_the_rest_is_escaped() -> None:
    shown = prose("expected `<b>` or `\x1b`, but <i>")
    assert shown == (
        "expected <code>&lt;b&gt;</code> or <code>\\x1b</code>, but &lt;i&gt;"
    )
    assert prose("a ` alone") == "a ` alone"
