-- migrate:up

-- How much of an authorisation orders asked to capture: a part becomes what is due once it is captured, and not before.
ALTER TABLE payment_attempts ADD COLUMN capture_minor bigint NOT NULL DEFAULT 0 CHECK (capture_minor >= 0);

-- migrate:down
