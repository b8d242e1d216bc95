-- migrate:up

-- Which units were sent again: a parcel may bring others with them (S-21).
ALTER TABLE shipments
    ALTER COLUMN resent DROP DEFAULT,
    ALTER COLUMN resent TYPE jsonb USING CASE WHEN resent THEN lines ELSE '[]' END,
    ALTER COLUMN resent SET DEFAULT '[]';

-- migrate:down
