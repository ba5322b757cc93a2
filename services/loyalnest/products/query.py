"""What is searched for, and what its words may mean. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from loyalnest.kit.errors import InvalidInput
from loyalnest.products.indexing import Kind
from loyalnest.products.models import Sort
from loyalnest.products.words import folded, is_whole, may_be_mistyped, one_slip_apart, shortened, words_of

MAX_TEXT: Final = 500
MAX_WORDS: Final = 8
"""Of a longer query the first ones count."""
MAX_VALUES: Final = 20
"""Most values that one filter takes."""
REACH: Final = 1_000
"""So far can results be paged. Who looks further needs another query, or ListProducts."""
FEW: Final = 10
"""A word that fewer products have may be a slip of somebody's who meant another one."""


@dataclass(frozen=True, slots=True)
class Filters:
    """What a product must have. Of vendors and of types one, of tags all; None and empty for any.

    visible: whether shoppers may find it. The range of its prices must meet `lowest` to `highest`.
    """

    vendors: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    lowest: Decimal | None = None
    highest: Decimal | None = None
    available: bool | None = None
    visible: bool | None = None
    status: str = ""

    @property
    def values(self) -> list[tuple[Kind, str]]:
        """The filters that are terms."""
        return [
            *((Kind.VENDOR, value) for value in self.vendors),
            *((Kind.TYPE, value) for value in self.types),
            *((Kind.TAG, value) for value in self.tags),
        ]

    @property
    def bare(self) -> bool:
        """Whether nothing is asked for but whether shoppers may find it."""
        return self == Filters(visible=self.visible) and self.visible is not False


@dataclass(frozen=True, slots=True)
class Query:
    """A search. Results `offset` to `offset + limit` are wanted."""

    text: str
    filters: Filters
    sort: Sort
    offset: int
    limit: int

    def __post_init__(self) -> None:
        if len(self.text) > MAX_TEXT:
            raise InvalidInput(f"The query has at most {MAX_TEXT} characters.")
        filters = self.filters
        if any(len(values) > MAX_VALUES for values in (filters.vendors, filters.types, filters.tags)):
            raise InvalidInput(f"A filter has at most {MAX_VALUES} values.")
        if not 0 <= self.offset < REACH:
            raise InvalidInput(f"Results can be paged up to number {REACH}: narrow the search.")

    @property
    def words(self) -> list[str]:
        """The words that are searched for, each once."""
        return list(dict.fromkeys(words_of(self.text)))[:MAX_WORDS]

    @property
    def title(self) -> str:
        """The query as the beginning of a title would be, which it may be."""
        return folded(self.text.replace("\0", "")).strip()

    @property
    def end(self) -> int:
        """The number after the last wanted result."""
        return min(self.offset + self.limit, REACH)


@dataclass(frozen=True, slots=True)
class Known:
    """A word that products of the merchant have."""

    term_id: int
    word: str
    products: int


@dataclass(frozen=True, slots=True)
class Meaning:
    """The terms that a word of the query may stand for. exact: the word itself; near: also others."""

    exact: tuple[int, ...]
    near: tuple[int, ...]


def spellings(words: Iterable[str]) -> list[str]:
    """Under what to look for words that these may be slips of (see `words.shortened`)."""
    mistyped = [word for word in words if may_be_mistyped(word)]
    return sorted({*mistyped, *(shorter for word in mistyped for shorter in shortened(word))})


def prefix_of(words: Sequence[str]) -> str:
    """The beginning of the word that is perhaps still being typed; empty for none."""
    return "" if not words or is_whole(words[-1]) else words[-1]


def meanings(words: Sequence[str], known: Iterable[Known]) -> list[Meaning]:
    """What each of the words may stand for, given the words of the merchant that come near; nothing for unknown ones.

    The last one also stands for longer words. One that is rare, or unknown, also for those that are a slip away.
    """
    found: list[Meaning] = []
    candidates = list(known)
    for place, word in enumerate(words):
        exact = [each for each in candidates if each.word == word]
        longer = []
        if place == len(words) - 1 and prefix_of(words):
            longer = [each for each in candidates if each.word.startswith(word) and each.word != word]
        similar = []
        if may_be_mistyped(word) and sum(each.products for each in (*exact, *longer)) < FEW:
            similar = [each for each in candidates if one_slip_apart(word, each.word)]
        near = dict.fromkeys(each.term_id for each in (*exact, *longer, *similar))
        found.append(Meaning(tuple(each.term_id for each in exact), tuple(near)))
    return found
