"""Products, what they are found by, and the log of imports."""

from loyalnest.kit.migrations import (
    create_import_logs,
    create_inbox,
    create_outbox,
    create_privacy_requests,
    create_roles,
    protect,
    run,
)
from loyalnest.kit.roles import request_role, worker_role

revision = "0001"
down_revision = None
SCHEMA = "products"


def upgrade() -> None:
    create_roles(SCHEMA)
    _products()
    _terms()
    _search()
    create_import_logs(SCHEMA, "product_import_logs", rights="SELECT, INSERT, UPDATE, DELETE")
    create_inbox(SCHEMA)
    create_outbox(SCHEMA)
    create_privacy_requests(SCHEMA)


def _products() -> None:
    run(
        # One row a merchant, which its writers lock, so that no two of them count or make terms at once.
        """
        CREATE TABLE products.catalogues (
            merchant_id text NOT NULL,
            products int NOT NULL DEFAULT 0 CHECK (products >= 0),
            visible int NOT NULL DEFAULT 0 CHECK (visible >= 0),
            PRIMARY KEY (merchant_id)
        ) WITH (fillfactor = 50)
        """,
        # `told_at` and `heard_at` order what is told of a product (see models.py). Of a deleted one nothing is kept
        # but that, and what an admin decided.
        """
        CREATE TABLE products.products (
            merchant_id text NOT NULL,
            product_id bigint NOT NULL CHECK (product_id > 0),
            told_at timestamptz NOT NULL,
            heard_at timestamptz NOT NULL,
            deleted_at timestamptz,
            excluded boolean NOT NULL DEFAULT false,
            title text NOT NULL DEFAULT '',
            handle text NOT NULL DEFAULT '',
            description text NOT NULL DEFAULT '',
            vendor text NOT NULL DEFAULT '',
            product_type text NOT NULL DEFAULT '',
            tags text[] NOT NULL DEFAULT '{}',
            status text NOT NULL DEFAULT '',
            published boolean NOT NULL DEFAULT false,
            lowest_price numeric,
            highest_price numeric,
            skus text[] NOT NULL DEFAULT '{}',
            image_url text NOT NULL DEFAULT '',
            inventory bigint,
            created_at timestamptz,
            updated_at timestamptz,
            PRIMARY KEY (merchant_id, product_id)
        )
        """,
        "CREATE INDEX products_deleted ON products.products (merchant_id, deleted_at) WHERE deleted_at IS NOT NULL",
    )
    protect(SCHEMA, "catalogues")
    protect(SCHEMA, "products")


def _terms() -> None:
    run(
        # What a merchant's products are found by: words (w), vendors (v), types (p), tags (g), each with how many
        # products have it and how many of those shoppers may see. "C" makes a prefix a range.
        """
        CREATE TABLE products.terms (
            merchant_id text NOT NULL,
            kind text NOT NULL CHECK (kind IN ('w', 'v', 'p', 'g')),
            term text COLLATE "C" NOT NULL,
            term_id bigint GENERATED ALWAYS AS IDENTITY,
            products int NOT NULL DEFAULT 0 CHECK (products >= 0),
            visible int NOT NULL DEFAULT 0 CHECK (visible >= 0),
            PRIMARY KEY (merchant_id, kind, term)
        ) WITH (fillfactor = 70)
        """,
        "CREATE UNIQUE INDEX terms_id ON products.terms (merchant_id, term_id)",
        # A word with one of its letters left out, for each of them (see words.py).
        """
        CREATE TABLE products.spellings (
            merchant_id text NOT NULL,
            spelling text COLLATE "C" NOT NULL,
            word text COLLATE "C" NOT NULL,
            PRIMARY KEY (merchant_id, spelling, word)
        )
        """,
    )
    protect(SCHEMA, "terms")
    protect(SCHEMA, "spellings", rights="SELECT, INSERT, DELETE")


def _search() -> None:
    """The narrow table that searches read.

    `terms` has a product's terms by id, and those of its title once more as negative numbers. Ids are of one merchant,
    so the index over all merchants' products leads to one merchant's rows only, however many others there are. A
    product without a price counts as one of 0.
    """
    request, worker = request_role(SCHEMA), worker_role(SCHEMA)
    run(
        """
        CREATE TABLE products.search (
            merchant_id text NOT NULL,
            product_id bigint NOT NULL,
            visible boolean NOT NULL,
            available boolean NOT NULL,
            status text NOT NULL,
            lowest_price numeric NOT NULL,
            highest_price numeric NOT NULL,
            created_at timestamptz NOT NULL,
            title text COLLATE "C" NOT NULL,
            title_terms bigint[] NOT NULL,
            facet_terms bigint[] NOT NULL,
            terms bigint[] NOT NULL,
            PRIMARY KEY (merchant_id, product_id)
        )
        """,
        # Without a list of pending entries, which every search would have to read.
        "CREATE INDEX search_terms ON products.search USING gin (terms) WITH (fastupdate = off)",
        "CREATE INDEX search_newest ON products.search (merchant_id, created_at, product_id)",
        "CREATE INDEX search_price ON products.search (merchant_id, lowest_price, product_id)",
        "CREATE INDEX search_title ON products.search (merchant_id, title, product_id)",
    )
    protect(SCHEMA, "search")
    # Row-level security lets only leakproof operators use an index, and those of arrays are none: each search would
    # read all products of the merchant. Through this view, which is the worker role's, they use it; what it shows is
    # the merchant's of the transaction, as by the policy. What is given up is a guard against functions that whoever
    # writes the SQL may put into it, and nobody but this service writes SQL here.
    run(
        """
        CREATE VIEW products.searchable AS
            SELECT * FROM products.search WHERE merchant_id = current_setting('loyalnest.merchant_id', true)
        """,
        f"GRANT SELECT ON products.searchable TO {request}",
        f"GRANT CREATE ON SCHEMA products TO {worker}",
        f"ALTER VIEW products.searchable OWNER TO {worker}",
        f"REVOKE CREATE ON SCHEMA products FROM {worker}",
    )
