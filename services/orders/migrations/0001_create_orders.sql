-- migrate:up

-- The root: one row per order with a column per partner. Whoever touches the order locks it first (S-3).
CREATE TABLE orders (
    order_id     uuid    PRIMARY KEY,
    number       text    NOT NULL UNIQUE CHECK (number ~ '^[0-9A-HJKMNP-TV-Z]{10}$'),
    -- For ever, though the request's key is purged: a retry after a week finds its order (S-5).
    caller       text    NOT NULL CHECK (caller <> ''),
    request_id   text    NOT NULL CHECK (request_id <> ''),
    body_hash    bytea   NOT NULL CHECK (octet_length(body_hash) = 32),
    UNIQUE (caller, request_id),

    state        text    NOT NULL CHECK (state IN
        ('PENDING', 'CONFIRMED', 'PROCESSING', 'SHIPPED', 'DELIVERED', 'CANCELLED', 'REFUNDED', 'ARCHIVED')),
    changes      integer NOT NULL CHECK (changes >= 1),          -- number of the newest entry of the history
    version      bigint  NOT NULL CHECK (version >= 1),
    round        integer NOT NULL CHECK (round >= 1),
    reservation  integer NOT NULL CHECK (reservation >= 1),

    -- What the caller gave; a guest has no customer id (R-2.6).
    customer_id      text  NOT NULL,
    email            text  NOT NULL,
    shipping_address jsonb NOT NULL CHECK (jsonb_typeof(shipping_address) = 'object'),
    cart_id          text  NOT NULL,
    metadata         jsonb NOT NULL CHECK (jsonb_typeof(metadata) = 'object'),
    payment_flow     text  NOT NULL CHECK (payment_flow IN ('INTENT', 'CHECKOUT', 'DEFERRED')),
    capture_method   text  NOT NULL CHECK (capture_method IN ('AUTOMATIC', 'MANUAL')),

    -- Frozen money (R-2.2): the parts equal the total.
    currency          char(3) NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    subtotal_minor    bigint  NOT NULL CHECK (subtotal_minor >= 0),
    shipping_minor    bigint  NOT NULL CHECK (shipping_minor >= 0),
    adjustments_minor bigint  NOT NULL,
    total_minor       bigint  NOT NULL CHECK (total_minor >= 0),
    CONSTRAINT orders_parts_equal_total CHECK (subtotal_minor + shipping_minor + adjustments_minor = total_minor),

    -- Payments' newest fact. Its currency is empty while payments does not know what is due.
    payment_verdict              text    NOT NULL CHECK (payment_verdict IN
        ('UNPAID', 'REQUIRES_ACTION', 'PROCESSING', 'AUTHORIZED', 'PAID', 'MISMATCHED', 'FAILED', 'CANCELED')),
    payment_due_minor            bigint  NOT NULL,
    payment_currency             text    NOT NULL CHECK (payment_currency ~ '^([A-Z]{3})?$'),
    payment_authorized_minor     bigint  NOT NULL CHECK (payment_authorized_minor >= 0),
    payment_captured_minor       bigint  NOT NULL CHECK (payment_captured_minor >= 0),
    payment_refunded_minor       bigint  NOT NULL CHECK (payment_refunded_minor >= 0),
    payment_refund_pending_minor bigint  NOT NULL CHECK (payment_refund_pending_minor >= 0),
    payment_currency_differs     boolean NOT NULL,
    payment_dispute              text    NOT NULL CHECK (payment_dispute IN ('NONE', 'OPEN', 'WON', 'LOST')),
    payment_version              bigint  NOT NULL CHECK (payment_version >= 0),

    -- Inventory's and fulfillment's answers of the present round.
    stock       text NOT NULL CHECK (stock IN ('NONE', 'COMMITTED', 'UNAVAILABLE')),
    fulfillment text NOT NULL CHECK (fulfillment IN ('NONE', 'SUBMITTED', 'HELD', 'FAILED', 'CANCELLED')),

    -- Where a cancellation stands (S-8); its answers are the remainder.
    cancellation         text    NOT NULL CHECK (cancellation IN ('NONE', 'PROPOSED', 'REQUESTED', 'DONE')),
    cancellation_number  integer NOT NULL CHECK (cancellation_number >= 0),
    cancellation_reason  text    CHECK (cancellation_reason IN
        ('CUSTOMER', 'ADMIN', 'EXPIRED', 'PAYMENT_FAILED', 'STOCK', 'REFUNDED', 'DISPUTE_LOST')),
    cancellation_note    text    NOT NULL DEFAULT '',
    cancellation_answers jsonb   NOT NULL CHECK (jsonb_typeof(cancellation_answers) = 'object'),
    CHECK ((cancellation = 'NONE') = (cancellation_reason IS NULL)),
    CHECK (cancellation = 'NONE' OR cancellation_number >= 1),
    CONSTRAINT orders_cancelled_by_a_cancellation CHECK (state <> 'CANCELLED' OR cancellation = 'DONE'),

    -- What was asked and told, and what came besides the columns; parcels have a table.
    progress jsonb NOT NULL CHECK (jsonb_typeof(progress) = 'object'),

    payable_until       timestamptz NOT NULL,
    first_payable_until timestamptz NOT NULL,          -- as payments was told; a repeated call must say the same
    due_at              timestamptz,                   -- when time next asks something of the order
    created_at          timestamptz NOT NULL,
    updated_at          timestamptz NOT NULL
) WITH (fillfactor = 70);

CREATE INDEX orders_due ON orders (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX orders_by_time ON orders (created_at, order_id);
CREATE INDEX orders_by_customer ON orders (customer_id, created_at, order_id) WHERE customer_id <> '';
CREATE INDEX orders_by_state ON orders (state, created_at, order_id);

-- migrate:down
