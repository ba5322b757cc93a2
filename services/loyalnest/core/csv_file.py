"""Reads a CSV of customers. Pure: bytes in, rows and what is wrong with them out, never the content of a cell.

A file that cannot be read as a whole (not UTF-8, no header, a quote that does not close) is refused before anything
of it is applied; a row that is wrong is reported and the others are taken.
"""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from loyalnest.core.values import id_of, wrong_with, yes_or_no
from loyalnest.kit.errors import InvalidInput, TooLarge
from loyalnest.kit.import_repository import RejectedCell

MAX_BYTES = 10 * 1024 * 1024
MAX_ROWS = 200_000
COLUMNS = ("customer_id", "email", "phone", "first_name", "last_name", "accepts_marketing")
_PERSONAL = ("email", "phone", "first_name", "last_name")


@dataclass(frozen=True, slots=True)
class Row:
    """What a row says of a customer; an empty cell says nothing."""

    customer_id: int
    personal: Mapping[str, str]
    accepts_marketing: bool | None

    def __repr__(self) -> str:
        return f"Row({self.customer_id})"


class CustomerFile:
    """The rows of a file. `rows` counts those of data.

    Raises TooLarge above `MAX_BYTES` or `MAX_ROWS`, InvalidInput for a file that cannot be read.
    """

    def __init__(self, content: bytes) -> None:
        if len(content) > MAX_BYTES:
            raise TooLarge(f"The file has {len(content)} bytes; at most {MAX_BYTES} are taken: split it.")
        try:
            self._text = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise InvalidInput(f"The file is not UTF-8 (byte {error.start}): save it as UTF-8.") from None
        self._header: Sequence[str] = ()
        # Reads all of it, so that a file which breaks off is refused before its first row is applied.
        self.rows = sum(1 for _ in self._lines())
        if self.rows > MAX_ROWS:
            raise TooLarge(f"The file has {self.rows} rows; at most {MAX_ROWS} are taken: split it.")

    def read(self) -> Iterator[Row | list[RejectedCell]]:
        """Each row of data, or what is wrong with it. The first row of a customer counts; a later one is rejected."""
        first: dict[int, int] = {}
        for line, cells in self._lines():
            row = self._row(line, cells)
            if isinstance(row, Row) and row.customer_id in first:
                yield [RejectedCell(line, "customer_id", f"is on line {first[row.customer_id]} already")]
                continue
            if isinstance(row, Row):
                first[row.customer_id] = line
            yield row

    def _lines(self) -> Iterator[tuple[int, list[str]]]:
        """The line where each row of data begins, and its cells; blank lines are left out."""
        reader = csv.reader(io.StringIO(self._text, newline=""), strict=True)
        begins = 1
        self._header = ()
        try:
            for cells in reader:
                if any(cell.strip() for cell in cells):
                    if self._header:
                        yield begins, cells
                    else:
                        self._header = _header(cells)
                begins = reader.line_num + 1
        except csv.Error as error:
            raise InvalidInput(f"The file is not CSV from line {begins} on: {error}.") from None
        if not self._header:
            raise InvalidInput(f"The file is empty: the first line must name its columns, of {', '.join(COLUMNS)}.")

    def _row(self, line: int, cells: list[str]) -> Row | list[RejectedCell]:
        if len(cells) != len(self._header):
            return [RejectedCell(line, "", f"has {len(cells)} cells, and the header has {len(self._header)}")]
        texts = {name: cell.strip() for name, cell in zip(self._header, cells, strict=True)}
        problems: list[RejectedCell] = []
        customer_id = id_of(texts["customer_id"])
        if customer_id is None:
            problems.append(RejectedCell(line, "customer_id", "must be Shopify's numeric customer id"))
        personal = {name: text for name in _PERSONAL if (text := texts.get(name, ""))}
        problems += [
            RejectedCell(line, name, f"must {words}")
            for name, text in personal.items()
            if (words := wrong_with(name, text))
        ]
        consent = texts.get("accepts_marketing", "")
        accepts_marketing = yes_or_no(consent)
        if consent and accepts_marketing is None:
            problems.append(RejectedCell(line, "accepts_marketing", "must be true or false, or empty"))
        if problems or customer_id is None:
            return problems
        return Row(customer_id, personal, accepts_marketing)


def _header(cells: list[str]) -> Sequence[str]:
    """The columns that a header names. Its words are not repeated: without a header it is a row of data."""
    names = [cell.strip().casefold() for cell in cells]
    unknown = [str(number) for number, name in enumerate(names, 1) if name not in COLUMNS]
    if unknown:
        raise InvalidInput(
            f"The first line must name the columns, of {', '.join(COLUMNS)}; number {', '.join(unknown[:10])} is none."
        )
    if len(set(names)) != len(names):
        raise InvalidInput("The first line names a column twice.")
    if "customer_id" not in names:
        raise InvalidInput("The first line must name the column customer_id.")
    return names
