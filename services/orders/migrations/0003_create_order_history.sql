-- migrate:up

-- Every change of state (R-2.4). Entries are numbered without gaps, each begins where the one before ended, only legal
-- pairs are taken, and nothing is ever changed.
CREATE TABLE order_history (
    order_id    uuid        NOT NULL REFERENCES orders,
    number      integer     NOT NULL CHECK (number >= 1),
    from_state  text,                                           -- NULL: the order did not exist
    to_state    text        NOT NULL,
    actor       text        NOT NULL CHECK (actor <> ''),
    reason      text        NOT NULL,
    occurred_at timestamptz NOT NULL,
    caused_by   text        NOT NULL,                           -- id of the event or request; empty: time
    version     bigint      NOT NULL,                           -- the order's, after the decision
    previous    integer     GENERATED ALWAYS AS (nullif(number - 1, 0)) STORED,
    PRIMARY KEY (order_id, number),
    UNIQUE (order_id, number, to_state),
    CONSTRAINT order_history_begins_once CHECK ((number = 1) = (from_state IS NULL)),
    CONSTRAINT order_history_has_no_gaps
        FOREIGN KEY (order_id, previous, from_state) REFERENCES order_history (order_id, number, to_state),
    CONSTRAINT order_history_is_legal CHECK ((coalesce(from_state, ''), to_state) IN (
        ('', 'PENDING'),
        ('PENDING', 'CONFIRMED'),
        ('PENDING', 'CANCELLED'),
        ('PENDING', 'REFUNDED'),
        ('CONFIRMED', 'PROCESSING'),
        ('CONFIRMED', 'CANCELLED'),
        ('CONFIRMED', 'REFUNDED'),
        ('PROCESSING', 'SHIPPED'),
        ('PROCESSING', 'CANCELLED'),
        ('PROCESSING', 'REFUNDED'),
        ('SHIPPED', 'DELIVERED'),
        ('SHIPPED', 'REFUNDED'),
        ('DELIVERED', 'REFUNDED'),
        ('DELIVERED', 'ARCHIVED'),
        ('CANCELLED', 'CONFIRMED'),
        ('CANCELLED', 'ARCHIVED'),
        ('REFUNDED', 'ARCHIVED')))
);

-- Nobody can skip it: the state on the root is the one that its newest entry leads to.
ALTER TABLE orders ADD CONSTRAINT orders_state_is_in_history
    FOREIGN KEY (order_id, changes, state) REFERENCES order_history (order_id, number, to_state);

CREATE FUNCTION refuse_change_of_history() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'order_history is append-only' USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER order_history_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON order_history
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_history();

-- migrate:down
