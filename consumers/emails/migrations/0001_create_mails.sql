-- migrate:up

-- The journal of mails: one row per event that somebody should hear of, written in the transaction that claims the
-- event. It holds neither names nor addresses; those are asked of orders when the mail is sent.
CREATE TABLE mails (
    event_id     uuid        NOT NULL PRIMARY KEY,
    position     bigint      GENERATED ALWAYS AS IDENTITY UNIQUE,
    kind         text        NOT NULL CHECK (kind <> ''),
    subject      text        NOT NULL CHECK (subject <> ''),   -- order id, or SKU for mails to the shop
    details      jsonb       NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(details) = 'object'),
    occurred_at  timestamptz NOT NULL,
    state        text        NOT NULL DEFAULT 'PLANNED'
        CHECK (state IN ('PLANNED', 'SENDING', 'SENT', 'PARKED', 'NO_ADDRESS')),
    tries        integer     NOT NULL DEFAULT 0 CHECK (tries >= 0),
    fence        bigint      NOT NULL DEFAULT 0,
    lease_until  timestamptz,                                  -- by the database's clock
    next_try_at  timestamptz NOT NULL,                         -- by the business clock
    last_error   text        NOT NULL DEFAULT '',
    settled_at   timestamptz,
    CHECK ((state = 'SENDING') = (lease_until IS NOT NULL)),
    CHECK ((settled_at IS NULL) = (state IN ('PLANNED', 'SENDING')))
);

CREATE INDEX mails_open ON mails (position) WHERE settled_at IS NULL;
-- The mails about one order go out in the order of its events.
CREATE INDEX mails_open_by_subject ON mails (subject, position) WHERE settled_at IS NULL;
CREATE INDEX mails_by_age ON mails (settled_at) WHERE settled_at IS NOT NULL;

-- migrate:down
