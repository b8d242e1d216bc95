-- migrate:up

-- A key whose events wait, because one of them could not be applied (S-27). Whoever reads or redrives the key locks its
-- row before anything else (S-4).
CREATE TABLE parked_keys (
    consumer  text        NOT NULL,
    topic     text        NOT NULL,
    key       text        NOT NULL,
    reason    text        NOT NULL,
    parked_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (consumer, topic, key)
);

-- "How many in the last minute" stops a consumer that would park everything (S-26).
CREATE INDEX parked_keys_recent ON parked_keys (consumer, parked_at);
-- Jobs skip a key, whatever topic it was parked in.
CREATE INDEX parked_keys_by_key ON parked_keys (consumer, key);

-- The waiting events in the order of their topic. No cascade: a marker cannot vanish while events wait behind it.
CREATE TABLE parked_events (
    consumer        text        NOT NULL,
    topic           text        NOT NULL,
    key             text        NOT NULL,
    kafka_partition integer     NOT NULL,
    kafka_offset    bigint      NOT NULL,
    event_id        uuid,                               -- NULL where the record's headers could not be read
    type            text        NOT NULL,
    source          text        NOT NULL,
    event_time      timestamptz,
    traceparent     text        NOT NULL,
    payload         bytea       NOT NULL,
    reason          text        NOT NULL,               -- empty for an event that only waits behind another one
    parked_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (consumer, topic, kafka_partition, kafka_offset),
    FOREIGN KEY (consumer, topic, key) REFERENCES parked_keys
);

CREATE INDEX parked_events_by_key ON parked_events (consumer, topic, key, kafka_partition, kafka_offset);

-- migrate:down
