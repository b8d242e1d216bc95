-- migrate:up

-- Units of a parcel that left before in another one; they count once (S-21).
ALTER TABLE parcels ADD COLUMN resent jsonb NOT NULL DEFAULT '[]';

-- migrate:down
