"""Reads a file of products, one as JSON on each line. Pure: bytes in, products and what is wrong with lines out."""

from collections.abc import Iterator
from typing import Final

import msgspec

from loyalnest.api_gateway.events import ProductFacts
from loyalnest.kit.errors import InvalidInput, TooLarge
from loyalnest.kit.import_repository import RejectedCell
from loyalnest.kit.shopify.product import read_product

MAX_BYTES: Final = 10 * 1024 * 1024
MAX_LINES: Final = 100_000
MAX_REASON: Final = 300


class ProductFile:
    """The lines of a file. `rows` counts those with something on them.

    Raises TooLarge above `MAX_BYTES` or `MAX_LINES`, InvalidInput for a file that is empty or no text.
    """

    def __init__(self, content: bytes) -> None:
        if len(content) > MAX_BYTES:
            raise TooLarge(f"The file has {len(content)} bytes; at most {MAX_BYTES} are taken: split it between lines.")
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise InvalidInput(f"The file is not UTF-8 (byte {error.start}): save it as UTF-8.") from None
        # Not `splitlines`, which takes characters for line ends that may stand in a title.
        self._lines = [(number, line.strip()) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
        self.rows = len(self._lines)
        if not self.rows:
            raise InvalidInput("The file is empty: it must have a product as JSON on each line.")
        if self.rows > MAX_LINES:
            raise TooLarge(f"The file has {self.rows} lines; at most {MAX_LINES} are taken: split it.")

    def read(self) -> Iterator[ProductFacts | list[RejectedCell]]:
        """Each line's product, or what is wrong with it. A product's first line counts; a later one is rejected."""
        first: dict[int, int] = {}
        for number, line in self._lines:
            found = _read(number, line)
            if isinstance(found, ProductFacts) and first.setdefault(found.product_id, number) != number:
                yield [RejectedCell(number, "id", f"is on line {first[found.product_id]} already")]
            else:
                yield found


def _read(number: int, line: str) -> ProductFacts | list[RejectedCell]:
    try:
        return ProductFacts(**msgspec.structs.asdict(read_product(line.encode())))
    except InvalidInput as error:
        column, colon, reason = error.detail.partition(": ")
        if colon and column != "body" and not column.startswith("The body"):
            return [RejectedCell(number, column, reason[:MAX_REASON])]
        return [RejectedCell(number, "", error.detail.replace("The body", "The line")[:MAX_REASON])]
    except RecursionError:
        return [RejectedCell(number, "", "The line is nested too deeply")]
