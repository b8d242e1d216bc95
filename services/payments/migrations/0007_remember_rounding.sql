-- migrate:up

-- What refunds were rounded down by so far: less than the provider's unit, given back with the next one (F-12).
ALTER TABLE payables ADD COLUMN rounded_minor bigint NOT NULL DEFAULT 0 CHECK (rounded_minor >= 0);

-- migrate:down
