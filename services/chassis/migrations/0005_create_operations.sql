-- migrate:up

-- The journal of calls to providers (S-15): written before the call, settled with its effect.
-- The id follows from (kind, subject, number) and starts with the subject's time, so the primary key also says that a
-- number is planned once, across partitions; it is the idempotency key at the provider.
CREATE TABLE operations (
    id              uuid        NOT NULL PRIMARY KEY,
    kind            text        NOT NULL,
    subject         text        NOT NULL,
    number          integer     NOT NULL CHECK (number >= 1),
    provider        text        NOT NULL,
    request         bytea       NOT NULL,               -- the exact parameters; a retry sends these bytes
    idempotency_key text        NOT NULL CHECK (length(idempotency_key) BETWEEN 10 AND 255),
    state           text        NOT NULL DEFAULT 'PLANNED'
        CHECK (state IN ('PLANNED', 'SENT', 'SUCCEEDED', 'FAILED', 'UNKNOWN')),
    first_sent_at   timestamptz,                        -- business clock: after 23 h nothing is resent (F-9)
    in_doubt        boolean     NOT NULL DEFAULT false, -- sent, and nobody knows whether it arrived: look up first
    lease_until     timestamptz,                        -- this database's clock; NULL: the last holder is done
    fence           bigint      NOT NULL DEFAULT 0,     -- grows with every sender
    tries           integer     NOT NULL DEFAULT 0 CHECK (tries >= 0),
    next_try_at     timestamptz NOT NULL,               -- business clock
    key_spent       boolean     NOT NULL DEFAULT false, -- the provider keeps a 5xx under this key: never sent again
    answer          jsonb,
    error_code      text        NOT NULL DEFAULT '',
    error           text        NOT NULL DEFAULT '',
    traceparent     text        NOT NULL DEFAULT '',
    planned_at      timestamptz NOT NULL,
    settled_at      timestamptz,
    CHECK ((settled_at IS NULL) = (state IN ('PLANNED', 'SENT', 'UNKNOWN'))),
    CHECK (state NOT IN ('SENT', 'UNKNOWN', 'SUCCEEDED') OR first_sent_at IS NOT NULL),
    CHECK (state <> 'SUCCEEDED' OR answer IS NOT NULL),
    CHECK (state <> 'FAILED' OR error_code <> '')
) PARTITION BY RANGE (id);

CREATE TABLE operations_default PARTITION OF operations DEFAULT;
SELECT create_partitions('operations', 2);

-- What is due; few rows are open at a time.
CREATE INDEX operations_open ON operations (next_try_at) WHERE settled_at IS NULL;
-- All operations of an order or payable, and the highest number of a kind.
CREATE INDEX operations_by_subject ON operations (subject, kind, number);

-- migrate:down
