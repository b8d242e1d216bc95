-- migrate:up

-- Objects at payment providers that belong to an order: an object belongs to one order only (R-1.1), and earlier ones
-- still find their order (R-1.10).
CREATE TABLE order_payments (
    provider_object_id text        PRIMARY KEY CHECK (provider_object_id <> ''),
    order_id           uuid        NOT NULL REFERENCES orders,
    position           bigint      GENERATED ALWAYS AS IDENTITY,
    added_at           timestamptz NOT NULL
);

CREATE INDEX order_payments_by_order ON order_payments (order_id, position);

-- migrate:down
