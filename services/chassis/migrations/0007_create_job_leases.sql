-- migrate:up

-- Which process runs a job now. Leases go by this database's clock; the fence grows with every new holder.
CREATE TABLE job_leases (
    name        text        NOT NULL PRIMARY KEY,
    holder      text        NOT NULL,
    fence       bigint      NOT NULL DEFAULT 1,
    lease_until timestamptz NOT NULL
) WITH (fillfactor = 50);

-- migrate:down
