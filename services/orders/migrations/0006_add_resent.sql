-- migrate:up

-- A parcel with units that left before in another one; they count once (S-21).
ALTER TABLE parcels ADD COLUMN resent boolean NOT NULL DEFAULT false;

-- migrate:down
