-- migrate:up

-- Most events have 2 to 8 KB. To pack them cost twice as much as to insert them, so up to a page they are kept unpacked.
ALTER TABLE webhook_events SET (toast_tuple_target = 8160);

-- migrate:down
