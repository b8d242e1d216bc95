-- migrate:up

-- The root row per order (S-3): every transaction that touches an order's fulfilment locks it first.
CREATE TABLE fulfillments (
    order_id        uuid        NOT NULL PRIMARY KEY,
    version         bigint      NOT NULL DEFAULT 0 CHECK (version >= 0),
    state           text        NOT NULL DEFAULT 'QUEUED' CHECK (state IN
        ('QUEUED', 'SUBMITTING', 'SUBMITTED', 'HELD', 'FAILED', 'CANCELLING', 'CANCELLED', 'COMPLETED')),
    request_id      text        NOT NULL DEFAULT '',
    round           integer     NOT NULL DEFAULT 0 CHECK (round >= 0),      -- 0: nothing was asked for yet
    lines           jsonb       NOT NULL DEFAULT '[]',                      -- what was asked for
    cancelled       jsonb       NOT NULL DEFAULT '[]',                      -- what will certainly not ship (S-10)
    number          integer     NOT NULL DEFAULT 0 CHECK (number >= 0),     -- of the object at the provider (F-17)
    object_id       text        NOT NULL DEFAULT '',
    provider        text        NOT NULL DEFAULT '',
    provider_state  text        NOT NULL DEFAULT 'ABSENT' CHECK (provider_state IN
        ('ABSENT', 'DRAFT', 'PENDING', 'IN_PROCESS', 'ON_HOLD', 'FAILED', 'CANCELED', 'FULFILLED')),
    sights          bigint      NOT NULL DEFAULT 0,                         -- answers and fetches applied
    submitted       boolean     NOT NULL DEFAULT false,
    hold_id         text        NOT NULL DEFAULT '',
    reason          text        NOT NULL DEFAULT '',
    tries           integer     NOT NULL DEFAULT 0 CHECK (tries >= 0),
    next_try_at     timestamptz,
    cancellation_id text        NOT NULL DEFAULT '',                        -- asked for and not answered (S-10)
    cancel_refused  boolean     NOT NULL DEFAULT false,
    answered        text[]      NOT NULL DEFAULT '{}',                      -- requests of orders that have their answer
    planned         integer     NOT NULL DEFAULT 0 CHECK (planned >= 0),    -- operations ever planned
    recipient       jsonb,                                                  -- an operator's correction of the address
    watch_at        timestamptz,                                            -- when the provider is asked without a webhook
    created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK ((round = 0) = (request_id = '')),
    CHECK (state <> 'CANCELLING' OR cancellation_id <> ''),
    CHECK ((provider_state = 'ABSENT') = (object_id = ''))
) WITH (fillfactor = 70);

-- One object at the provider belongs to one order (R-4.2).
CREATE UNIQUE INDEX fulfillments_by_object ON fulfillments (provider, object_id) WHERE object_id <> '';
CREATE INDEX fulfillments_to_try ON fulfillments (next_try_at) WHERE next_try_at IS NOT NULL;
CREATE INDEX fulfillments_to_watch ON fulfillments (watch_at) WHERE watch_at IS NOT NULL;

CREATE TABLE shipments (
    id              uuid        NOT NULL PRIMARY KEY,
    order_id        uuid        NOT NULL REFERENCES fulfillments,
    provider_id     text        NOT NULL CHECK (provider_id <> ''),
    place           integer     NOT NULL CHECK (place >= 1),
    state           text        NOT NULL CHECK (state IN ('SENT', 'DELIVERED', 'FAILED', 'RETURNED')),
    lines           jsonb       NOT NULL,
    carrier         text        NOT NULL DEFAULT '',
    tracking_number text        NOT NULL DEFAULT '',
    tracking_url    text        NOT NULL DEFAULT '',
    sent_at         timestamptz NOT NULL,
    UNIQUE (order_id, provider_id),                                         -- a parcel counts once
    UNIQUE (order_id, place)
);

-- migrate:down
