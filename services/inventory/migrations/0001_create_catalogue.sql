-- migrate:up

-- Keys are compared by bytes, so that every process sorts, and locks, in the same order (S-4).
CREATE TABLE items (
    sku                 text COLLATE "C" PRIMARY KEY CHECK (sku ~ '^[A-Za-z0-9._-]{1,64}$'),
    name                text        NOT NULL CHECK (char_length(name) BETWEEN 1 AND 300),
    available           boolean     NOT NULL,
    weight_grams        integer     NOT NULL CHECK (weight_grams >= 0),
    variant_ids         jsonb       NOT NULL CHECK (jsonb_typeof(variant_ids) = 'object'),  -- provider's ids by key
    low_stock_threshold integer     NOT NULL CHECK (low_stock_threshold >= 0),  -- 0: the default
    version             bigint      NOT NULL DEFAULT 1 CHECK (version >= 1),
    updated_at          timestamptz NOT NULL
);

CREATE TABLE prices (
    sku          text COLLATE "C" NOT NULL REFERENCES items ON DELETE CASCADE,
    currency     char(3) NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    amount_minor bigint  NOT NULL CHECK (amount_minor >= 0),
    PRIMARY KEY (sku, currency)
);

-- migrate:down
