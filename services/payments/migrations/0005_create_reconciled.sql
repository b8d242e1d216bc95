-- migrate:up

-- Up to when the provider's lists were held against ours (R-1.18): the next run begins there, however long ago it was.
CREATE TABLE reconciled (
    provider text        NOT NULL PRIMARY KEY,
    until    timestamptz NOT NULL
);

-- migrate:down
