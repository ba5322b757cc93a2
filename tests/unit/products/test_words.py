"""What counts as a word, and which words are a slip apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loyalnest.products.words import (
    MAX_WORD,
    folded,
    indexed_words,
    may_be_mistyped,
    one_slip_apart,
    shortened,
    words_of,
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        ("Red  Shirt!", ["red", "shirt"]),
        ("Übergroß ÉCLAIR", ["ubergross", "eclair"]),
        ("Ærø Łódź ﬁn ½", ["aero", "lodz", "fin", "1", "2"]),
        ("İstanbul ISTANBUL ıstanbul", ["istanbul"] * 3),
        ("T-Shirt AB-12/X 3.5", ["t", "shirt", "ab", "12", "x", "3", "5"]),
        ("a_b", ["a", "b"]),
        ("日本語", ["日本", "本語"]),
        ("語 ｶﾞﾗｽ3個", ["語", "ガラ", "ラス", "3", "個"]),
        ("서울 가방", ["서울", "가방"]),
        ("שלום עולם", ["שלום", "עולם"]),
        ("x" * 100, ["x" * MAX_WORD]),
        ("\0\u202e\u0301", []),
    ],
)
def test_words_of_a_query(text: str, words: list[str]) -> None:
    assert words_of(text) == words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Müller & Söhne", {"muller", "mueller", "sohne", "soehne"}),
        ("T-Shirt", {"t", "shirt", "tshirt"}),
        ("AB-12/X", {"ab", "12", "x", "ab12x"}),
        ("日本語", {"日本", "本語", "語"}),
        ("3個", {"3", "個"}),
    ],
)
def test_forms_under_which_a_text_is_found(text: str, words: set[str]) -> None:
    assert indexed_words(text, 40, joined=True) == words


def test_no_more_than_the_first_words_are_indexed() -> None:
    assert indexed_words("one two three four", 2) == {"one", "two"}


@given(st.text(max_size=60))
def test_a_text_is_found_by_its_own_words(text: str) -> None:
    words = words_of(text)
    assert set(words) <= indexed_words(text, 1_000)
    assert all(0 < len(word) <= MAX_WORD and "\0" not in word for word in words)


@given(st.text(max_size=60))
def test_folding_again_changes_nothing(text: str) -> None:
    assert words_of(folded(text)) == words_of(text)


letters = st.text("abcd", min_size=1, max_size=7)


def slips(word: str) -> set[str]:
    """Every word that one slip makes of `word`, written out."""
    cuts = [(word[:at], word[at:]) for at in range(len(word) + 1)]
    left_out = {head + tail[1:] for head, tail in cuts if tail}
    exchanged = {head + tail[1] + tail[0] + tail[2:] for head, tail in cuts if len(tail) > 1}
    replaced = {head + letter + tail[1:] for head, tail in cuts if tail for letter in "abcd"}
    added = {head + letter + tail for head, tail in cuts for letter in "abcd"}
    return (left_out | exchanged | replaced | added) - {word}


@given(letters, letters)
def test_a_slip_is_what_the_model_says(one: str, other: str) -> None:
    assert one_slip_apart(one, other) == (other in slips(one))


@given(letters.flatmap(lambda word: st.tuples(st.just(word), st.sampled_from(sorted(slips(word))))))
def test_every_slip_is_found_by_what_the_words_have_in_common(pair: tuple[str, str]) -> None:
    word, slip = pair
    assert one_slip_apart(word, slip)
    assert (shortened(word) | {word}) & (shortened(slip) | {slip})


@pytest.mark.parametrize(
    ("word", "may"),
    [("shirt", True), ("hat", False), ("ab12x", False), ("1234", False), ("日本", False), ("x" * 21, False)],
)
def test_which_words_may_be_mistyped(word: str, may: bool) -> None:
    assert may_be_mistyped(word) is may
