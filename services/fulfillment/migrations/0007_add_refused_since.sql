-- migrate:up

-- Since when every look for the hint was refused for the provider's limit of calls; a person is told of long ones (F-18).
ALTER TABLE webhooks ADD COLUMN refused_since timestamptz;

-- migrate:down
