-- What can be asked of the archive. `archive` is all of its rows; each view below is a question by its name.

-- Every event once: relays may publish one twice (S-24).
CREATE VIEW events AS
SELECT event_id, type, split_part(type, '.', -1) AS name, event_time, key, topic, partition, "offset",
       body ->> '$.context.order_id' AS order_id, body::JSON AS body
  FROM archive
 WHERE event_id IS NOT NULL
QUALIFY row_number() OVER (PARTITION BY event_id ORDER BY "offset") = 1;

-- Records that nobody could read.
CREATE VIEW unreadable AS
SELECT DISTINCT topic, partition, "offset", type, key, event_time, problem FROM archive WHERE problem IS NOT NULL;

-- One row per order. Events of one order are in one partition, so their offsets are their order.
CREATE VIEW orders AS
WITH told AS (
    SELECT *, CASE name
                  WHEN 'OrderCreated' THEN 'PENDING'
                  WHEN 'OrderConfirmed' THEN 'CONFIRMED'
                  WHEN 'OrderReopened' THEN 'CONFIRMED'
                  WHEN 'OrderProcessing' THEN 'PROCESSING'
                  WHEN 'OrderShipped' THEN 'SHIPPED'
                  WHEN 'OrderDelivered' THEN 'DELIVERED'
                  WHEN 'OrderCancelled' THEN 'CANCELLED'
                  WHEN 'OrderRefunded' THEN 'REFUNDED'
                  WHEN 'OrderArchived' THEN 'ARCHIVED'
              END AS state
      FROM events WHERE topic = 'onefold.orders.v1'
)
SELECT order_id,
       any_value(body ->> '$.number') FILTER (name = 'OrderCreated') AS number,
       any_value(body ->> '$.total.currency') FILTER (name = 'OrderCreated') AS currency,
       any_value((body ->> '$.total.amount_minor')::BIGINT) FILTER (name = 'OrderCreated') AS total_minor,
       -- A parcel that is sent again takes a delivered order nowhere.
       arg_max(state, (state IN ('DELIVERED', 'REFUNDED', 'ARCHIVED'), "offset")) FILTER (state IS NOT NULL) AS state,
       min(event_time) FILTER (name = 'OrderCreated') AS created_at,
       min(event_time) FILTER (name = 'OrderConfirmed') AS confirmed_at,
       min(event_time) FILTER (name = 'OrderProcessing') AS processing_at,
       min(event_time) FILTER (name = 'OrderShipped') AS shipped_at,
       min(event_time) FILTER (name = 'OrderDelivered') AS delivered_at,
       max(event_time) FILTER (name = 'OrderCancelled') AS cancelled_at,
       max(event_time) FILTER (name = 'OrderRefunded') AS refunded_at
  FROM told
 GROUP BY order_id;

CREATE VIEW orders_by_day AS
SELECT created_at::DATE AS day, state, currency, count(*) AS orders, sum(total_minor)::BIGINT AS total_minor
  FROM orders
 GROUP BY ALL ORDER BY ALL;

-- Every capture at the provider, once.
CREATE VIEW captures AS
SELECT body ->> '$.object_id' AS object_id, any_value(order_id) AS order_id, min(event_time) AS captured_at,
       any_value((body ->> '$.amount.amount_minor')::BIGINT) AS amount_minor,
       any_value(body ->> '$.amount.currency') AS currency
  FROM events WHERE type = 'onefold.payments.v1.PaymentCaptured'
 GROUP BY object_id;

-- Every refund once, with what was last said about it: a refund can fail after it had succeeded.
CREATE VIEW refunds AS
WITH told AS (
    SELECT *, coalesce(nullif(body ->> '$.refund_id', ''), body ->> '$.provider_refund_id') AS refund
      FROM events
     WHERE topic = 'onefold.payments.v1' AND name IN ('RefundPending', 'RefundSucceeded', 'RefundFailed')
)
SELECT refund, any_value(order_id) AS order_id,
       upper(arg_max(name, "offset")[7:]) AS state,
       arg_max((body ->> '$.amount.amount_minor')::BIGINT, "offset") AS amount_minor,
       arg_max(body ->> '$.amount.currency', "offset") AS currency,
       max(event_time) AS changed_at
  FROM told
 GROUP BY refund, order_id;

CREATE VIEW refunds_by_day AS
SELECT changed_at::DATE AS day, state, currency, count(*) AS refunds, sum(amount_minor)::BIGINT AS amount_minor
  FROM refunds
 GROUP BY ALL ORDER BY ALL;

-- Money that came, less money that went back, on the day it did so.
CREATE VIEW revenue AS
SELECT day, currency, sum(captured_minor)::BIGINT AS captured_minor, sum(refunded_minor)::BIGINT AS refunded_minor,
       (sum(captured_minor) - sum(refunded_minor))::BIGINT AS net_minor
  FROM (SELECT captured_at::DATE AS day, currency, amount_minor AS captured_minor, 0 AS refunded_minor FROM captures
         UNION ALL
        SELECT changed_at::DATE, currency, 0, amount_minor FROM refunds WHERE state = 'SUCCEEDED')
 GROUP BY ALL ORDER BY ALL;

-- Counters of each SKU and location, as last said; `low` counts how often it fell below its threshold.
CREATE VIEW stock AS
WITH told AS (
    SELECT name, event_time, body ->> '$.context.sku' AS sku, body ->> '$.context.location' AS location,
           (body ->> '$.context.version')::BIGINT AS version, body
      FROM events WHERE topic = 'onefold.inventory.v1' AND name IN ('StockChanged', 'StockLow')
)
SELECT sku, location,
       arg_max((body ->> '$.on_hand')::BIGINT, version) FILTER (name = 'StockChanged') AS on_hand,
       arg_max((body ->> '$.reserved')::BIGINT, version) FILTER (name = 'StockChanged') AS reserved,
       arg_max((body ->> '$.available')::BIGINT, version) FILTER (name = 'StockChanged') AS available,
       count(*) FILTER (name = 'StockLow') AS low,
       max(event_time) AS changed_at
  FROM told
 GROUP BY sku, location ORDER BY sku, location;

-- How far the orders of each day came. An order counts in every step that it ever took.
CREATE VIEW funnel AS
WITH started AS (
    SELECT DISTINCT order_id FROM events WHERE type = 'onefold.payments.v1.PaymentCreated'
)
SELECT created_at::DATE AS day, count(*) AS placed, count(started.order_id) AS payment_started,
       count(confirmed_at) AS confirmed, count(processing_at) AS processing, count(shipped_at) AS shipped,
       count(delivered_at) AS delivered, count(*) FILTER (state = 'CANCELLED') AS cancelled,
       count(*) FILTER (state = 'REFUNDED') AS refunded
  FROM orders LEFT JOIN started USING (order_id)
 GROUP BY day ORDER BY day;
