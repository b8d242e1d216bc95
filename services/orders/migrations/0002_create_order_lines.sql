-- migrate:up

-- Frozen lines and how far their units have come: each unit is open, shipped or cancelled.
CREATE TABLE order_lines (
    order_id         uuid    NOT NULL REFERENCES orders,
    line             integer NOT NULL CHECK (line >= 1),
    sku              text    NOT NULL CHECK (sku <> ''),
    name             text    NOT NULL,
    location         text    NOT NULL,                          -- where it ships from, as inventory last said
    quantity         integer NOT NULL CHECK (quantity >= 1),
    unit_price_minor bigint  NOT NULL CHECK (unit_price_minor >= 0),
    shipped          integer NOT NULL CHECK (shipped >= 0),
    cancelled        integer NOT NULL CHECK (cancelled >= 0),
    released         integer NOT NULL CHECK (released >= 0),    -- inventory's word: what it gave back
    returned         integer NOT NULL CHECK (returned >= 0),
    PRIMARY KEY (order_id, line),
    CONSTRAINT order_lines_units_go_one_way CHECK (shipped + cancelled <= quantity),
    CONSTRAINT order_lines_returned_were_shipped CHECK (returned <= shipped)
) WITH (fillfactor = 70);

-- migrate:down
