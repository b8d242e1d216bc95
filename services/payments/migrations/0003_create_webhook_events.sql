-- migrate:up

-- Every authentic webhook, once (S-12). Dedupe goes by processed_at, not by received_at: what failed is done again.
CREATE TABLE webhook_events (
    source       text        NOT NULL,
    event_id     text        NOT NULL CHECK (event_id <> ''),
    type         text        NOT NULL,
    order_id     uuid,                                    -- told by the event, whether or not it is known
    object_ids   text[]      NOT NULL DEFAULT '{}',       -- by which an unmatched event finds its order later
    raw          bytea       NOT NULL CHECK (octet_length(raw) <= 1048576),  -- as received (F-32)
    received_at  timestamptz NOT NULL,
    processed_at timestamptz,
    outcome      text        NOT NULL DEFAULT '' CHECK (outcome IN
        ('', 'applied', 'stale', 'ignored', 'incident', 'failed')),
    deliveries   integer     NOT NULL DEFAULT 1 CHECK (deliveries >= 1),
    error        text        NOT NULL DEFAULT '',
    PRIMARY KEY (source, event_id),
    CHECK ((processed_at IS NULL) = (outcome IN ('', 'failed')))
);

-- What still has no order, few rows: matched when the order appears (R-1.13).
CREATE INDEX webhook_events_unmatched ON webhook_events (received_at) WHERE outcome = 'incident';
-- Oldest unprocessed webhook (R-6.3).
CREATE INDEX webhook_events_unprocessed ON webhook_events (received_at) WHERE processed_at IS NULL;
-- Kept for 60 days (S-28).
CREATE INDEX webhook_events_by_age ON webhook_events (received_at);

-- Incidents about unmatched events that were announced, because their order did not appear in time (R-1.13).
CREATE TABLE raised_incidents (
    incident_id uuid        NOT NULL PRIMARY KEY,
    raised_at   timestamptz NOT NULL
);

-- migrate:down
