-- migrate:up

-- One row per event and consumer, written in the transaction of the event's effect (S-25).
-- Partitioned by the event's id: a UUIDv7 starts with its time, so one id always falls into one partition and the
-- primary key holds across all of them; ids of another kind fall into the default partition and stay there.
CREATE TABLE inbox (
    consumer        text        NOT NULL,
    event_id        uuid        NOT NULL,
    topic           text        NOT NULL,
    kafka_partition integer     NOT NULL,
    kafka_offset    bigint      NOT NULL,
    -- Claimed as APPLIED and corrected in the same transaction: most rows are then written once.
    outcome         text        NOT NULL DEFAULT 'APPLIED'
        CHECK (outcome IN ('APPLIED', 'STALE', 'CONTRADICTION', 'IGNORED')),
    claimed_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (consumer, event_id)
) PARTITION BY RANGE (event_id);

CREATE TABLE inbox_default PARTITION OF inbox DEFAULT;

-- Partitions are 30 days wide and belong to the schema's owner; the serving role, which may not create tables, keeps
-- them by these two functions. `parent` is a table partitioned by a UUIDv7 or by a timestamptz (S-28).
CREATE FUNCTION partition_bound(moment timestamptz, key_type regtype) RETURNS text
    LANGUAGE sql IMMUTABLE
    RETURN CASE key_type
        WHEN 'uuid'::regtype THEN
            rpad(lpad(to_hex((extract(epoch FROM moment) * 1000)::bigint), 12, '0'), 32, '0')
        ELSE (moment AT TIME ZONE 'UTC')::text || '+00'
    END;

CREATE FUNCTION create_partitions(parent text, ahead integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC' AS $$
DECLARE
    width    CONSTANT interval := '30 days';
    present  CONSTANT bigint := floor(extract(epoch FROM now()) / 86400 / 30)::bigint;
    key_type regtype;
    first    timestamptz;
    created  integer := 0;
BEGIN
    SELECT a.atttypid INTO STRICT key_type
      FROM pg_partitioned_table p JOIN pg_attribute a ON a.attrelid = p.partrelid AND a.attnum = p.partattrs[0]
     WHERE p.partrelid = to_regclass(quote_ident(parent));
    -- One process at a time, so that two jobs do not wait for each other inside of CREATE TABLE.
    PERFORM pg_advisory_xact_lock(hashtext('create_partitions'));
    FOR step IN 0..ahead LOOP
        first := 'epoch'::timestamptz + (present + step) * width;
        CONTINUE WHEN to_regclass(quote_ident(parent || to_char(first, '"_"YYYYMMDD'))) IS NOT NULL;
        BEGIN
            EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)',
                parent || to_char(first, '"_"YYYYMMDD'), parent,
                partition_bound(first, key_type), partition_bound(first + width, key_type));
            created := created + 1;
        EXCEPTION WHEN check_violation THEN
            -- Rows of this time are in the default partition already. They stay there: the key still holds.
            RAISE WARNING 'rows of % are in its default partition', parent;
        END;
    END LOOP;
    RETURN created;
END $$;

-- Drops what ended more than `keep_days` ago. Where rows can stay open, `closed_at` names the column that says since
-- when each is closed: a partition goes only if all of its rows have been closed for that long, too.
CREATE FUNCTION drop_partitions(parent text, keep_days integer, closed_at text DEFAULT NULL) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC' AS $$
DECLARE
    cutoff  CONSTANT timestamptz := now() - make_interval(days => keep_days);
    child   text;
    in_use  boolean := false;
    dropped integer := 0;
BEGIN
    IF keep_days < 60 THEN
        RAISE EXCEPTION 'rows outlive the topic (30 days) by 30 more (S-28)' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    FOR child IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
         WHERE i.inhparent = to_regclass(quote_ident(parent)) AND c.relname ~ '_[0-9]{8}$'
           AND to_date(right(c.relname, 8), 'YYYYMMDD') + 30 < cutoff::date
         ORDER BY c.relname
    LOOP
        IF closed_at IS NOT NULL THEN
            EXECUTE format('LOCK TABLE %I IN SHARE MODE', child);
            EXECUTE format('SELECT EXISTS (SELECT FROM %I WHERE %I IS NULL OR %I > $1)', child, closed_at, closed_at)
               INTO in_use USING cutoff;
            CONTINUE WHEN in_use;
        END IF;
        EXECUTE format('DROP TABLE %I', child);
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END $$;

SELECT create_partitions('inbox', 2);

-- migrate:down
