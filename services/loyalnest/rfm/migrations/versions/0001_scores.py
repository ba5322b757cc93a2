"""Orders, customers with their scores, segment history, cut points and schedules."""

from loyalnest.kit.migrations import ask, create_inbox, create_outbox, create_roles, protect, run
from loyalnest.kit.roles import worker_role

revision = "0001"
down_revision = None
SCHEMA = "rfm"


def upgrade() -> None:
    create_roles(SCHEMA)
    _scores()
    _schedules()
    _history()
    create_inbox(SCHEMA)
    create_outbox(SCHEMA)


def _scores() -> None:
    run(
        # placed_at is null until the order is known to have earned: its refund may come first.
        """
        CREATE TABLE rfm.orders (
            merchant_id text NOT NULL,
            order_id bigint NOT NULL,
            customer_id bigint NOT NULL,
            placed_at timestamptz,
            net_base numeric NOT NULL,
            cancelled boolean NOT NULL,
            PRIMARY KEY (merchant_id, order_id)
        )
        """,
        "CREATE INDEX orders_of_customer ON rfm.orders (merchant_id, customer_id)",
        """
        CREATE TABLE rfm.customers (
            merchant_id text NOT NULL,
            customer_id bigint NOT NULL,
            orders int NOT NULL DEFAULT 0 CHECK (orders >= 0),
            monetary numeric NOT NULL DEFAULT 0,
            last_order_at timestamptz,
            recency_score smallint NOT NULL DEFAULT 0 CHECK (recency_score BETWEEN 0 AND 5),
            frequency_score smallint NOT NULL DEFAULT 0 CHECK (frequency_score BETWEEN 0 AND 5),
            monetary_score smallint NOT NULL DEFAULT 0 CHECK (monetary_score BETWEEN 0 AND 5),
            segment text NOT NULL DEFAULT '',
            as_of timestamptz,
            updated_at timestamptz NOT NULL,
            PRIMARY KEY (merchant_id, customer_id),
            CHECK ((orders > 0) = (last_order_at IS NOT NULL))
        ) WITH (fillfactor = 80)
        """,
        "CREATE INDEX customers_of_segment ON rfm.customers (merchant_id, segment, customer_id)",
        # population: at the last refresh, 0 before the first; customers_now: kept by every batch.
        """
        CREATE TABLE rfm.cut_points (
            merchant_id text NOT NULL,
            recency date[] NOT NULL DEFAULT '{}',
            frequency int[] NOT NULL DEFAULT '{}',
            monetary numeric[] NOT NULL DEFAULT '{}',
            population bigint NOT NULL DEFAULT 0,
            customers_now bigint NOT NULL DEFAULT 0,
            refreshed_at timestamptz,
            PRIMARY KEY (merchant_id)
        )
        """,
    )
    protect(SCHEMA, "orders", rights="SELECT, INSERT, UPDATE")
    protect(SCHEMA, "customers", rights="SELECT, INSERT, UPDATE")
    protect(SCHEMA, "cut_points", rights="SELECT, INSERT, UPDATE")


def _schedules() -> None:
    run(
        """
        CREATE TABLE rfm.schedules (
            merchant_id text NOT NULL,
            cron text NOT NULL,
            timezone text NOT NULL,
            next_run_at timestamptz NOT NULL,
            settings_version int NOT NULL,
            PRIMARY KEY (merchant_id)
        )
        """,
        "CREATE INDEX schedules_due ON rfm.schedules (next_run_at)",
    )
    protect(SCHEMA, "schedules", rights="SELECT, INSERT, UPDATE")


def _history() -> None:
    """Hypertables where the administrator has installed TimescaleDB in this database, else partitions by month.

    That the extension is merely available is not enough: CREATE EXTENSION without its preload ends the connection.
    """
    timescale = bool(ask("SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb')"))
    run(
        # delta_id is the id of the rfm.updated event that told of the movement.
        f"""
        CREATE TABLE rfm.rfm_segment_deltas (
            merchant_id text NOT NULL,
            changed_at timestamptz NOT NULL,
            delta_id uuid NOT NULL,
            customer_id bigint NOT NULL,
            from_segment text NOT NULL,
            to_segment text NOT NULL,
            recency_score smallint NOT NULL,
            frequency_score smallint NOT NULL,
            monetary_score smallint NOT NULL,
            PRIMARY KEY (merchant_id, changed_at, delta_id)
        ) {"" if timescale else "PARTITION BY RANGE (changed_at)"}
        """,
        f"""
        CREATE TABLE rfm.rfm_segment_counts (
            merchant_id text NOT NULL,
            counted_on date NOT NULL,
            segment text NOT NULL,
            customers bigint NOT NULL,
            revenue numeric NOT NULL,
            PRIMARY KEY (merchant_id, counted_on, segment)
        ) {"" if timescale else "PARTITION BY RANGE (counted_on)"}
        """,
    )
    if timescale:
        for table, column in (("rfm_segment_deltas", "changed_at"), ("rfm_segment_counts", "counted_on")):
            run(f"SELECT create_hypertable('rfm.{table}', '{column}', chunk_time_interval => interval '1 month')")
    protect(SCHEMA, "rfm_segment_deltas", rights="SELECT, INSERT")
    protect(SCHEMA, "rfm_segment_counts", rights="SELECT, INSERT, UPDATE")
    _partitions()


def _partitions() -> None:
    """The function that makes partitions, for the worker role, which owns nothing; and the first partitions.

    A partition is read through its parent, whose policies then hold. No role has rights on it, and it has row-level
    security without a policy, so that a right granted by mistake still shows nothing. Rows of a month without a
    partition go to the default one; a month that has rows there never gets a partition of its own.
    """
    run(
        """
        CREATE FUNCTION rfm.make_partitions(first_month date, months int) RETURNS int
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog SET timezone = 'UTC' SET lock_timeout = '5s'
        AS $$
        DECLARE
            parent record;
            month date;
            part text;
            bounds text;
            made int := 0;
        BEGIN
            FOR parent IN
                SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE n.nspname = 'rfm' AND c.relkind = 'p' ORDER BY c.relname
            LOOP
                FOR ahead IN -1 .. months - 1 LOOP
                    month := (date_trunc('month', first_month::timestamp) + make_interval(months => ahead))::date;
                    part := parent.relname || CASE WHEN ahead < 0 THEN '_other' ELSE to_char(month, '_YYYYMM') END;
                    bounds := CASE WHEN ahead < 0 THEN 'DEFAULT' ELSE format(
                        'FOR VALUES FROM (%L) TO (%L)', month, (month + interval '1 month')::date) END;
                    CONTINUE WHEN to_regclass('rfm.' || quote_ident(part)) IS NOT NULL;
                    BEGIN
                        EXECUTE format('CREATE TABLE rfm.%I PARTITION OF rfm.%I %s', part, parent.relname, bounds);
                        EXECUTE format('ALTER TABLE rfm.%I ENABLE ROW LEVEL SECURITY', part);
                        EXECUTE format('ALTER TABLE rfm.%I FORCE ROW LEVEL SECURITY', part);
                        made := made + 1;
                    EXCEPTION WHEN check_violation THEN NULL;
                    END;
                END LOOP;
            END LOOP;
            RETURN made;
        END $$
        """,
        "REVOKE ALL ON FUNCTION rfm.make_partitions(date, int) FROM PUBLIC",
        f"GRANT EXECUTE ON FUNCTION rfm.make_partitions(date, int) TO {worker_role(SCHEMA)}",
        "SELECT rfm.make_partitions(current_date, 3)",
    )
