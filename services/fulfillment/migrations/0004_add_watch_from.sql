-- migrate:up

-- Since when the provider shows nothing new about the order: the longer, the less often it is asked (F-18).
ALTER TABLE fulfillments ADD COLUMN watch_from timestamptz NOT NULL DEFAULT now();

-- migrate:down
