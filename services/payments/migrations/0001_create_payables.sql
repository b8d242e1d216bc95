-- migrate:up

-- The root row per order (S-3): every transaction that touches an order's payment locks it first.
CREATE TABLE payables (
    order_id       uuid        NOT NULL PRIMARY KEY,
    version        bigint      NOT NULL DEFAULT 0 CHECK (version >= 0),
    due_minor      bigint      CHECK (due_minor > 0),     -- NULL until orders or the first call says it
    currency       char(3)     CHECK (currency ~ '^[A-Z]{3}$'),
    manual_capture boolean     NOT NULL DEFAULT false,
    closed         boolean     NOT NULL DEFAULT false,    -- a cancellation closed it: no new attempt (S-9)
    succeeded      boolean     NOT NULL DEFAULT false,    -- PaymentSucceeded was said (S-17)
    look_at        timestamptz,                           -- when the provider must be asked about what has not ended
    created_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK ((due_minor IS NULL) = (currency IS NULL)),
    CHECK (NOT succeeded OR due_minor IS NOT NULL)
) WITH (fillfactor = 70);

CREATE INDEX payables_to_look_at ON payables (look_at) WHERE look_at IS NOT NULL;

-- One row per object at the provider that the customer can pay, or could.
CREATE TABLE payment_attempts (
    id              uuid        NOT NULL PRIMARY KEY,
    order_id        uuid        NOT NULL REFERENCES payables,
    number          integer     NOT NULL CHECK (number >= 1),
    provider        text        NOT NULL,
    flow            text        NOT NULL CHECK (flow IN ('INTENT', 'CHECKOUT')),
    state           text        NOT NULL CHECK (state IN
        ('CREATING', 'PAYABLE', 'REQUIRES_ACTION', 'PROCESSING', 'AUTHORIZED', 'SUCCEEDED', 'CANCELED')),
    state_at        timestamptz NOT NULL,                 -- the provider's time of the state (R-1.14)
    ended_by        text        NOT NULL DEFAULT '' CHECK (ended_by IN ('', 'canceled', 'lapsed', 'failed')),
    request_id      text        NOT NULL DEFAULT '',
    object_id       text        NOT NULL DEFAULT '',      -- what the customer pays: intent or session
    payment_id      text        NOT NULL DEFAULT '',      -- the intent, once known
    charge_id       text        NOT NULL DEFAULT '',
    method          text        NOT NULL DEFAULT '',
    failures        integer     NOT NULL DEFAULT 0 CHECK (failures >= 0),
    failure_at      timestamptz,
    failure_code    text        NOT NULL DEFAULT '',
    failure_message text        NOT NULL DEFAULT '',
    orphan          boolean     NOT NULL DEFAULT false,   -- beside a live attempt or not ours: it must end (R-1.6)
    capture_request text        NOT NULL DEFAULT '',
    creates         integer     NOT NULL DEFAULT 0,       -- operations planned so far, by kind
    cancels         integer     NOT NULL DEFAULT 0,
    captures        integer     NOT NULL DEFAULT 0,
    created_at      timestamptz NOT NULL,
    UNIQUE (order_id, number)
) WITH (fillfactor = 70);

-- S-14: at most one attempt that can be paid.
CREATE UNIQUE INDEX payment_attempts_live ON payment_attempts (order_id)
    WHERE state NOT IN ('SUCCEEDED', 'CANCELED') AND NOT orphan;
-- R-1.1: one order per payment at the provider.
CREATE UNIQUE INDEX payment_attempts_by_object ON payment_attempts (provider, object_id) WHERE object_id <> '';
CREATE UNIQUE INDEX payment_attempts_by_payment ON payment_attempts (provider, payment_id) WHERE payment_id <> '';

-- Every object id ever seen finds its order: intents, sessions, refunds, disputes (R-1.10).
CREATE TABLE provider_objects (
    provider   text        NOT NULL,
    object_id  text        NOT NULL CHECK (object_id <> ''),
    order_id   uuid        NOT NULL REFERENCES payables,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (provider, object_id)
);

CREATE TABLE refunds (
    id                 text        NOT NULL PRIMARY KEY,
    order_id           uuid        NOT NULL REFERENCES payables,
    refund_id          text        NOT NULL DEFAULT '',   -- orders' id; empty for one made at the provider
    number             integer     NOT NULL CHECK (number >= 1),
    tries              integer     NOT NULL DEFAULT 0,    -- operations planned so far
    provider           text        NOT NULL,
    source_id          text        NOT NULL,              -- the capture it comes from
    provider_refund_id text        NOT NULL DEFAULT '',
    amount_minor       bigint      NOT NULL CHECK (amount_minor > 0),
    currency           char(3)     NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    state              text        NOT NULL CHECK (state IN ('PENDING', 'SUCCEEDED', 'FAILED')),
    code               text        NOT NULL DEFAULT '',
    reason             text        NOT NULL DEFAULT '',
    created_at         timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE INDEX refunds_by_order ON refunds (order_id);
CREATE UNIQUE INDEX refunds_by_provider ON refunds (provider, provider_refund_id) WHERE provider_refund_id <> '';

CREATE TABLE disputes (
    id           text        NOT NULL,
    provider     text        NOT NULL,
    order_id     uuid        NOT NULL REFERENCES payables,
    source_id    text        NOT NULL,
    amount_minor bigint      NOT NULL CHECK (amount_minor > 0),
    currency     char(3)     NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    state        text        NOT NULL CHECK (state IN ('OPEN', 'WON', 'LOST')),
    occurred_at  timestamptz NOT NULL,
    withdrawn    boolean     NOT NULL,
    PRIMARY KEY (provider, id)
);

CREATE INDEX disputes_by_order ON disputes (order_id);

-- A cancellation that orders asked for; answered exactly once (S-9).
CREATE TABLE cancellations (
    id           text        NOT NULL PRIMARY KEY,
    order_id     uuid        NOT NULL REFERENCES payables,
    requested_at timestamptz NOT NULL,
    settled      boolean     NOT NULL DEFAULT false,
    delayed      boolean     NOT NULL DEFAULT false,
    overdue      boolean     NOT NULL DEFAULT false
);

CREATE INDEX cancellations_by_order ON cancellations (order_id);

-- migrate:down
