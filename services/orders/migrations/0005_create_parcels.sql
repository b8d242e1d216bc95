-- migrate:up

-- Parcels that left, as fulfillment told.
CREATE TABLE parcels (
    shipment_id     text        PRIMARY KEY CHECK (shipment_id <> ''),
    order_id        uuid        NOT NULL REFERENCES orders,
    place           integer     NOT NULL CHECK (place >= 1),    -- in the order in which they were first told
    state           text        NOT NULL CHECK (state IN ('SENT', 'FAILED', 'DELIVERED', 'RETURNED')),
    carrier         text        NOT NULL,
    tracking_number text        NOT NULL,
    tracking_url    text        NOT NULL,
    lines           jsonb       NOT NULL CHECK (jsonb_typeof(lines) = 'array'),
    told            boolean     NOT NULL,                       -- OrderShipped was said
    sent_at         timestamptz NOT NULL,
    delivered_at    timestamptz,
    UNIQUE (order_id, place)
) WITH (fillfactor = 70);

-- migrate:down
