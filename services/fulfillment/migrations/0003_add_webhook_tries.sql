-- migrate:up

-- Hints about an object that the provider cannot show are tried again after pauses, behind those never tried; the last
-- try ends with an incident (R-4.7).
ALTER TABLE webhooks
    ADD COLUMN tries       integer     NOT NULL DEFAULT 0 CHECK (tries >= 0),
    ADD COLUMN next_try_at timestamptz NOT NULL DEFAULT '-infinity';

DROP INDEX webhooks_unprocessed;
CREATE INDEX webhooks_unprocessed ON webhooks (next_try_at, received_at) WHERE processed_at IS NULL;

-- migrate:down
