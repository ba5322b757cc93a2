"""What counts as a word: the same for a product's texts and for a query, so that they meet.

Words are folded: case, accents, ligatures and full-width forms make no difference, and ß is ss. A German
umlaut is also found as two letters (Müller as Mueller). Scripts that put no spaces between words are cut into pairs of
characters, so that any part of a title is found.
"""

import re
import unicodedata
from collections.abc import Iterator
from typing import Final

MAX_WORD: Final = 40
"""A longer word is cut; nobody types it."""
TYPO_LETTERS: Final = 4
"""A shorter word has too many neighbours for a guess at what was meant."""
MAX_TYPO_LETTERS: Final = 20

_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
    "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff"  # kana
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"  # Han
)
_WORD = re.compile(rf"[{_UNSPACED}]+|[^\W_{_UNSPACED}]+")
_UNSPACED_RUN = re.compile(f"[{_UNSPACED}]+")
_IS_UNSPACED = re.compile(f"[{_UNSPACED}]")
_ACCENTS = re.compile("[\u0300-\u036f]")
_LETTERS = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i"})
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue"})


def folded(text: str) -> str:
    """`text` in the form in which words are compared."""
    return _without_accents(unicodedata.normalize("NFKC", text).casefold())


def words_of(text: str) -> list[str]:
    """The words of a query, in their order."""
    return list(_cut(folded(text)))


def indexed_words(text: str, most: int, *, joined: bool = False) -> set[str]:
    """Every form under which the first `most` words of a product's text are found.

    joined: also what stands between two spaces as one word: `t-shirt` as `tshirt`, `AB-12/X` as `ab12x`.
    """
    plain = unicodedata.normalize("NFKC", text).casefold()
    found: set[str] = set()
    count = 0
    for chunk in plain.split():
        spelled = chunk.translate(_UMLAUTS)
        for form in {chunk, spelled} if spelled != chunk else (chunk,):
            words = list(_cut(_without_accents(form)))
            found.update(words)
            found.update(run[-1] for run in _UNSPACED_RUN.findall(form))
            if joined and len(words) > 1 and not _IS_UNSPACED.search(form):
                found.add("".join(words)[:MAX_WORD])
        count += len(words)
        if count >= most:
            break
    return found


def is_whole(word: str) -> bool:
    """Whether more letters of the word may follow: pairs of an unspaced script are whole, its single characters not."""
    return len(word) > 1 and _IS_UNSPACED.match(word) is not None


def _without_accents(text: str) -> str:
    if text.isascii():
        return text
    bare = _ACCENTS.sub("", unicodedata.normalize("NFKD", text))
    # A mark may have hidden a letter from `casefold`, and kana were taken apart.
    return unicodedata.normalize("NFC", bare.casefold()).translate(_LETTERS)


def _cut(text: str) -> Iterator[str]:
    for match in _WORD.finditer(text):
        run = match[0]
        if not _IS_UNSPACED.match(run):
            yield run[:MAX_WORD]
        elif len(run) == 1:
            yield run
        else:
            yield from (run[at : at + 2] for at in range(len(run) - 1))


def may_be_mistyped(word: str) -> bool:
    """Whether a word is taken for another that is one slip away: not numbers and SKUs, which mean what they say."""
    return TYPO_LETTERS <= len(word) <= MAX_TYPO_LETTERS and word.isalpha() and not _IS_UNSPACED.match(word)


def shortened(word: str) -> set[str]:
    """The word with each one of its letters left out.

    Two words that one slip separates (a letter too many, too few, another, or two exchanged) have one of these in
    common, or one is among the other's: so mistyped words are found by equality alone.
    """
    return {word[:at] + word[at + 1 :] for at in range(len(word))}


def one_slip_apart(one: str, other: str) -> bool:
    """Whether a letter was added, left out, replaced, or exchanged with its neighbour; not for equal words."""
    if len(one) > len(other):
        one, other = other, one
    if one == other or len(other) - len(one) > 1:
        return False
    at = next((place for place, letter in enumerate(one) if letter != other[place]), len(one))
    if len(one) < len(other):
        return one[at:] == other[at + 1 :]
    exchanged = one[at : at + 2] == other[at : at + 2][::-1] and len(one) - at > 1
    return one[at + 1 :] == other[at + 1 :] or (exchanged and one[at + 2 :] == other[at + 2 :])
