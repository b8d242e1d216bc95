-- migrate:up

-- What a person must see. One open row per kind and subject, however often it is noticed.
CREATE TABLE incidents (
    id          uuid        NOT NULL PRIMARY KEY,
    kind        text        NOT NULL CHECK (kind <> ''),
    subject     text        NOT NULL CHECK (subject <> ''),   -- what it is about, unique within its kind
    order_id    text        NOT NULL DEFAULT '',
    state       text        NOT NULL DEFAULT 'OPEN' CHECK (state IN ('OPEN', 'MATCHED', 'RESOLVED')),
    details     jsonb       NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(details) = 'object'),
    opened_at   timestamptz NOT NULL,
    closed_at   timestamptz,
    closed_by   text        NOT NULL DEFAULT '',
    resolution  text        NOT NULL DEFAULT '',
    CHECK ((closed_at IS NULL) = (state = 'OPEN')),
    CHECK (state <> 'RESOLVED' OR (closed_by <> '' AND resolution <> ''))
);

CREATE UNIQUE INDEX incidents_open ON incidents (kind, subject) WHERE state = 'OPEN';
CREATE INDEX incidents_by_age ON incidents (opened_at, id) WHERE state = 'OPEN';
CREATE INDEX incidents_by_order ON incidents (order_id) WHERE order_id <> '';

-- migrate:down
