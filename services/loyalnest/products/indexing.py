"""Which terms a product is found by. Pure."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from loyalnest.api_gateway.events import ProductFacts
from loyalnest.products.words import indexed_words

MAX_TITLE_WORDS: Final = 40
MAX_DESCRIPTION_WORDS: Final = 150
"""What a product is about stands at the beginning of its description."""
MAX_SKUS: Final = 100
MAX_TAGS: Final = 100
MAX_SORTED_TITLE: Final = 120
"""Characters of a title by which it is sorted: an index entry has little room."""


class Kind(StrEnum):
    """What a term is: a word, or a value of a facet."""

    WORD = "w"
    VENDOR = "v"
    TYPE = "p"
    TAG = "g"


Term = tuple[Kind, str]


@dataclass(frozen=True, slots=True)
class Terms:
    """A product's terms. title: its words, and those of its SKUs; facets: its vendor, type and tags as they are."""

    words: frozenset[Term]
    title: frozenset[Term]
    facets: frozenset[Term]

    @property
    def all(self) -> frozenset[Term]:
        """Each of them once."""
        return self.words | self.facets


def terms_of(facts: ProductFacts) -> Terms:
    """The terms of a product; of one that is deleted, none."""
    tags = facts.tags[:MAX_TAGS]
    title = indexed_words(facts.title, MAX_TITLE_WORDS, joined=True)
    for sku in facts.skus[:MAX_SKUS]:
        title |= indexed_words(sku, MAX_TITLE_WORDS, joined=True)
    words = title | indexed_words(facts.description, MAX_DESCRIPTION_WORDS)
    for text in (facts.vendor, facts.product_type, facts.handle, *tags):
        words |= indexed_words(text, MAX_TITLE_WORDS)
    facets = {(Kind.TAG, tag) for tag in tags}
    if facts.vendor:
        facets.add((Kind.VENDOR, facts.vendor))
    if facts.product_type:
        facets.add((Kind.TYPE, facts.product_type))
    return Terms(_words(words), _words(title), frozenset(facets))


def _words(words: set[str]) -> frozenset[Term]:
    return frozenset((Kind.WORD, word) for word in words)
