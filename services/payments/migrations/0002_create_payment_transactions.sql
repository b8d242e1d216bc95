-- migrate:up

-- The ledger (R-1.17): one row is one entry with a debit and a credit side, so that it balances by its shape.
-- Accounts: provider (what the provider owes us), customer (what customers paid), disputes (what banks took),
-- held and holds (authorisations: no money has moved yet).
CREATE TABLE payment_transactions (
    position     bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    order_id     uuid        NOT NULL REFERENCES payables,
    provider     text        NOT NULL,
    object_id    text        NOT NULL CHECK (object_id <> ''),
    fact         text        NOT NULL,
    debit        text        NOT NULL,
    credit       text        NOT NULL,
    amount_minor bigint      NOT NULL CHECK (amount_minor > 0),
    currency     char(3)     NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    source_id    text        NOT NULL DEFAULT '',        -- the capture that a refund or dispute is about
    occurred_at  timestamptz NOT NULL,
    caused_by    text        NOT NULL DEFAULT '',        -- event or operation that told it
    recorded_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- S-13: a fact counts once, whoever tells it.
    UNIQUE (provider, object_id, fact),
    CHECK ((fact, debit, credit) IN (
        ('authorized', 'held', 'holds'),
        ('released', 'holds', 'held'),
        ('captured', 'provider', 'customer'),
        ('refunded', 'customer', 'provider'),
        ('refund_reversed', 'provider', 'customer'),
        ('dispute_withdrawn', 'disputes', 'provider'),
        ('dispute_reinstated', 'provider', 'disputes')))
);

CREATE INDEX payment_transactions_by_order ON payment_transactions (order_id, position);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'payment_transactions is append-only' USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER payment_transactions_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON payment_transactions
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- migrate:down
