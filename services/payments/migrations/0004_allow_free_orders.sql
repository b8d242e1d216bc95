-- migrate:up

-- Nothing may be due: an order of free goods is placed and cancelled like any other, and its cancellation is answered.
ALTER TABLE payables DROP CONSTRAINT payables_due_minor_check;
ALTER TABLE payables ADD CONSTRAINT payables_due_minor_check CHECK (due_minor >= 0);

-- migrate:down
