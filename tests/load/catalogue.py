"""Made-up products in the proportions of a real catalogue: some words are in half of it, most in a handful."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import accumulate

from loyalnest.api_gateway.events import ProductFacts

SYLLABLES = "ka lo mi tra ven sho ber ri an ce du pel go ni sta qua fer lu mon zi"
T0 = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Catalogue:
    """Products from a seed. words: from the commonest (Zipf: the n-th is 1/n as common) to the rarest."""

    seed: int = 1
    vocabulary: int = 20_000
    words: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        parts = SYLLABLES.split()
        made: dict[str, None] = {}
        while len(made) < self.vocabulary:
            made["".join(self._random.choices(parts, k=self._random.randint(2, 4)))] = None
        self.words = list(made)
        self._weights = list(accumulate(1 / (rank + 3) for rank in range(self.vocabulary)))

    def text(self, length: int) -> str:
        """Words as they come."""
        return " ".join(self._random.choices(self.words, cum_weights=self._weights, k=length))

    def products(self, count: int) -> Iterator[ProductFacts]:
        """`count` products; each twentieth is not published, each tenth sold out."""
        draw = self._random
        for number in range(1, count + 1):
            price = Decimal(draw.randint(100, 50_000)).scaleb(-2)
            made = T0 + timedelta(seconds=draw.randint(0, 20_000_000))
            yield ProductFacts(
                product_id=9_000_000_000_000 + number,
                title=self.text(draw.randint(3, 7)).title(),
                handle=f"product-{number}",
                description=self.text(40),
                vendor=f"Vendor {int(draw.paretovariate(0.8)) % 300}",
                product_type=f"Type {int(draw.paretovariate(0.8)) % 40}",
                tags=[f"tag {int(draw.paretovariate(0.7)) % 200}" for _ in range(4)],
                status="active",
                published=number % 20 != 0,
                lowest_price=price,
                highest_price=price + draw.randint(0, 20),
                skus=[f"SKU-{number:06d}-{size}" for size in "SML"],
                inventory=0 if number % 10 == 0 else 5,
                created_at=made,
                updated_at=made,
            )
