-- migrate:up

-- When the last try was sent, business clock: what a call made is looked for around it, for hours may lie between the
-- first try and the one that was executed. NULL: never sent.
ALTER TABLE operations ADD COLUMN last_sent_at timestamptz;
UPDATE operations SET last_sent_at = first_sent_at WHERE settled_at IS NULL AND first_sent_at IS NOT NULL;

-- migrate:down
