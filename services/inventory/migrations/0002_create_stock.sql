-- migrate:up

-- A level: units of one SKU at one location. Room in the pages keeps updates of a hot row off the index.
CREATE TABLE stock (
    sku      text COLLATE "C" NOT NULL REFERENCES items,
    location text COLLATE "C" NOT NULL CHECK (location ~ '^[a-z0-9-]{1,64}$'),
    on_hand  bigint  NOT NULL DEFAULT 0 CHECK (on_hand >= 0),
    reserved bigint  NOT NULL DEFAULT 0 CHECK (reserved >= 0),
    shipped  bigint  NOT NULL DEFAULT 0 CHECK (shipped >= 0),
    version  bigint  NOT NULL DEFAULT 0,
    is_low   boolean NOT NULL DEFAULT false,  -- flips under the row's lock: one event per crossing (S-20)
    PRIMARY KEY (sku, location),
    CONSTRAINT stock_reserved_is_on_hand CHECK (reserved <= on_hand)
) WITH (fillfactor = 50);

-- Every change of a level, for ever. A commit changes no counter, but is noted.
CREATE TABLE stock_ledger (
    position       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sku            text COLLATE "C" NOT NULL,
    location       text COLLATE "C" NOT NULL,
    kind           text        NOT NULL CHECK (kind IN
                       ('reserved', 'committed', 'released', 'lapsed', 'shipped', 'returned', 'adjusted')),
    on_hand_delta  bigint      NOT NULL,
    reserved_delta bigint      NOT NULL,
    shipped_delta  bigint      NOT NULL,
    order_id       text COLLATE "C" NOT NULL DEFAULT '',
    reason         text        NOT NULL DEFAULT '',
    actor          text        NOT NULL DEFAULT '',
    occurred_at    timestamptz NOT NULL,
    CHECK (kind <> 'adjusted' OR (reason <> '' AND actor <> '')),
    CHECK (CASE kind
        WHEN 'reserved'  THEN on_hand_delta = 0 AND reserved_delta > 0 AND shipped_delta = 0
        WHEN 'committed' THEN on_hand_delta = 0 AND reserved_delta = 0 AND shipped_delta = 0
        WHEN 'released'  THEN on_hand_delta = 0 AND reserved_delta < 0 AND shipped_delta = 0
        WHEN 'lapsed'    THEN on_hand_delta = 0 AND reserved_delta < 0 AND shipped_delta = 0
        WHEN 'shipped'   THEN on_hand_delta < 0 AND reserved_delta = on_hand_delta AND shipped_delta = -on_hand_delta
        WHEN 'returned'  THEN on_hand_delta > 0 AND reserved_delta = 0 AND shipped_delta = 0
        WHEN 'adjusted'  THEN on_hand_delta <> 0 AND reserved_delta = 0 AND shipped_delta = 0
    END)
);
CREATE INDEX stock_ledger_of_sku ON stock_ledger (sku, position);
CREATE INDEX stock_ledger_of_order ON stock_ledger (order_id, position) WHERE order_id <> '';

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END
$$;
CREATE TRIGGER stock_ledger_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON stock_ledger
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- migrate:down
