-- A file waits for the event of its run that comes last: until the reconciler has that, it does not know whose it is.
ALTER TABLE uploads ADD COLUMN awaits INTEGER;

UPDATE uploads SET awaits = (SELECT max(id) FROM events e WHERE e.run = uploads.run AND e.role = uploads.role);

CREATE INDEX uploads_awaiting ON uploads (awaits) WHERE awaits IS NOT NULL;

-- Choosing the next is to cost the same however many wait: small ones go in another lane than large ones.
CREATE INDEX uploads_small ON uploads (attempts, id) WHERE awaits IS NULL AND size <= 65536;
CREATE INDEX uploads_large ON uploads (attempts, id) WHERE awaits IS NULL AND size > 65536;

-- Files that were given up because there was no more room for them.
CREATE TABLE losses (
    run TEXT NOT NULL,
    role TEXT NOT NULL,
    name TEXT NOT NULL,
    size INTEGER NOT NULL,
    lost_at INTEGER NOT NULL,
    PRIMARY KEY (run, role, name)
) STRICT;
