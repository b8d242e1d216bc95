-- migrate:up

-- Every authentic webhook, once by its content, because it has no event id (F-19, S-22). It is a hint: `processed_at`
-- is set when the object that it names was fetched and applied.
CREATE TABLE webhooks (
    source       text        NOT NULL,
    content_hash bytea       NOT NULL,
    type         text        NOT NULL,
    object_id    text        NOT NULL,
    external_id  text        NOT NULL,
    raw          bytea       NOT NULL CHECK (octet_length(raw) <= 1048576),  -- as received (F-32)
    received_at  timestamptz NOT NULL,
    processed_at timestamptz,
    outcome      text        NOT NULL DEFAULT '' CHECK (outcome IN ('', 'applied', 'stale', 'unknown')),
    deliveries   integer     NOT NULL DEFAULT 1 CHECK (deliveries >= 1),
    PRIMARY KEY (source, content_hash),
    CHECK ((processed_at IS NULL) = (outcome = ''))
);

CREATE INDEX webhooks_unprocessed ON webhooks (received_at) WHERE processed_at IS NULL;
CREATE INDEX webhooks_by_age ON webhooks (received_at);

-- migrate:down
