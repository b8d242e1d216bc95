-- migrate:up

-- One row per request of a caller (S-5). It outlives a crash, so that a repeated call is finished and not begun anew.
CREATE TABLE idempotency_keys (
    caller      text        NOT NULL,
    method      text        NOT NULL,
    request_id  text        NOT NULL,
    body_hash   bytea       NOT NULL CHECK (octet_length(body_hash) = 32),
    subject     text        NOT NULL,                   -- the id of what the request makes, fixed by the first claim
    phase       text        NOT NULL,                   -- the service's own names; DONE and FAILED end it
    fence       bigint      NOT NULL DEFAULT 1 CHECK (fence >= 1),  -- grows with every take-over
    holder      text        NOT NULL,                   -- the try that the lease belongs to
    lease_until timestamptz NOT NULL,                   -- by this database's clock
    body        bytea,                                  -- for a completer that has no caller to ask; gone at the end
    answer      bytea,                                  -- the response, or the status of a failure: ids only
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (caller, method, request_id),
    CHECK (phase NOT IN ('DONE', 'FAILED') OR body IS NULL)
) WITH (fillfactor = 80);

-- The completer looks for requests whose lease has run out; there are few of them.
CREATE INDEX idempotency_keys_unfinished ON idempotency_keys (method, created_at)
    WHERE phase NOT IN ('DONE', 'FAILED');

-- The purge takes the oldest finished ones.
CREATE INDEX idempotency_keys_finished ON idempotency_keys (updated_at)
    WHERE phase IN ('DONE', 'FAILED');

-- migrate:down
