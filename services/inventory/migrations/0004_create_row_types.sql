-- migrate:up

-- Rows as processes send them: one array of rows is read and written in half of the time of an array per column.
-- A type is never changed, for processes of two versions may run at once: a new shape is a new type.
CREATE TYPE hold_row AS (order_id text, reservation integer, state text, lapses_at timestamptz);

CREATE TYPE hold_line_row AS (
    order_id     text,
    reservation  integer,
    line         integer,
    sku          text,
    location     text,
    reserved     integer,
    committed    integer,
    shipped      integer,
    released     integer,
    returned     integer,
    name         text,
    amount_minor bigint,
    currency     text
);

CREATE TYPE movement_row AS (
    sku      text,
    location text,
    kind     text,
    order_id text,
    on_hand  bigint,
    reserved bigint,
    shipped  bigint
);

-- migrate:down
