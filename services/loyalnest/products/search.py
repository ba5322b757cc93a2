"""How a search is done: exactly over all that matches where that is little, by the shortest way where it is much."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from loyalnest.kit.database import Connection
from loyalnest.products import search_repository
from loyalnest.products.models import Kept, Sort
from loyalnest.products.query import Meaning, Query, meanings
from loyalnest.products.search_repository import Matched

Groups = list[list[int]]


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found: a page of products, and counts (see `search_repository.Matched`).

    all_words: False if no product has all the words, and these have some of them. more: whether there is a next page.
    """

    products: Sequence[Kept]
    matched: Matched
    all_words: bool
    more: bool


NOTHING = Found((), Matched(0), all_words=True, more=False)


async def search(connection: Connection, merchant_id: str, query: Query) -> Found:
    """Search in the merchant's transaction."""
    words = query.words
    known, ids = await search_repository.resolve(connection, merchant_id, words, query.filters.values)
    filters = search_repository.groups_of(query.filters, ids)
    meant = [meaning for meaning in meanings(words, known) if meaning.near]
    if filters is None or (query.text.strip() and not meant):
        return NOTHING
    # One more than is wanted tells whether there is a next page.
    asked = replace(query, limit=query.limit + 1)
    if not words and query.sort is Sort.RELEVANCE:
        asked = replace(asked, sort=Sort.NEWEST)
    look = _Look(connection, merchant_id, asked, filters, meant, all_words=len(meant) == len(words))
    matched, page = await look.browse() if not words and query.filters.bare else await look.match()
    products = await search_repository.products(connection, merchant_id, page[query.offset : query.end])
    return Found(products, matched, look.all_words, more=len(page) > query.end)


class _Look:
    """One search, whose filters and words are terms by now."""

    def __init__(
        self,
        connection: Connection,
        merchant_id: str,
        query: Query,
        filters: Groups,
        words: Sequence[Meaning],
        *,
        all_words: bool,
    ) -> None:
        self._connection = connection
        self._merchant_id = merchant_id
        self._query = query
        self._filters = filters
        self._words = words
        self.all_words = all_words

    async def browse(self) -> tuple[Matched, list[int]]:
        """Everything, counted beforehand."""
        visible = self._query.filters.visible is True
        matched = await search_repository.browse(self._connection, self._merchant_id, visible=visible)
        return matched, await self._walk()

    async def match(self) -> tuple[Matched, list[int]]:
        """What matches, and the ids of its first in the wanted order."""
        matched = await self._gather()
        if not matched.total and self.all_words and len(self._words) > 1:
            self.all_words = False
            matched = await self._gather()
        return matched, matched.page if matched.whole else await self._first_of_many(matched)

    async def _first_of_many(self, matched: Matched) -> list[int]:
        """The first of more than can be ranked: those with the words in their title, then a sample of the others."""
        if not self.all_words:
            return matched.page
        if self._query.sort is not Sort.RELEVANCE:
            return await self._walk()
        best = await search_repository.titled(
            self._connection, self._merchant_id, self._query, self._filters, self._words
        )
        if best is None:
            return await self._walk(in_title=True)
        return list(dict.fromkeys([*best, *matched.page]))[: self._query.end]

    async def _gather(self) -> Matched:
        return await search_repository.gather(
            self._connection,
            self._merchant_id,
            self._query,
            self._filters,
            self._words,
            all_words=self.all_words,
        )

    async def _walk(self, *, in_title: bool = False) -> list[int]:
        return await search_repository.walk(
            self._connection, self._merchant_id, self._query, self._filters, self._words, in_title=in_title
        )
