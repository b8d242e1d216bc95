-- migrate:up

-- Events that are true but not yet in Kafka; columns of Debezium's outbox event router first. A row is written in the
-- transaction that makes its event true and deleted when Kafka has acknowledged it (S-24).
CREATE TABLE outbox (
    id            uuid        NOT NULL,                 -- made with the row, never on publish; consumers dedupe by it
    aggregatetype text        NOT NULL CHECK (aggregatetype <> ''),  -- package of the event, for example onefold.orders.v1
    aggregateid   text        NOT NULL CHECK (aggregateid <> ''),    -- key of the Kafka record
    type          text        NOT NULL CHECK (type <> ''),
    payload       bytea       NOT NULL CHECK (octet_length(payload) < 524288),
    -- CACHE 1: a session that kept numbers in reserve would write younger events under lower positions.
    position      bigint      GENERATED ALWAYS AS IDENTITY (CACHE 1) PRIMARY KEY,
    occurred_at   timestamptz NOT NULL,
    traceparent   text        NOT NULL DEFAULT '',
    appended_at   timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (
    -- A queue: small and always rewritten, so vacuum goes by count and not by share of the table (F-30).
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 2000,
    autovacuum_vacuum_cost_delay = 0
);

-- migrate:down
