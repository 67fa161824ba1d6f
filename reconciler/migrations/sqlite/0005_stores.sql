-- Files that nodes send to a store themselves.

-- The store that an upload goes to by itself, its path there, and what the store calls it; empty for one that goes through the
-- reconciler.
ALTER TABLE uploads ADD COLUMN store TEXT NOT NULL DEFAULT '';
ALTER TABLE uploads ADD COLUMN path TEXT NOT NULL DEFAULT '';
ALTER TABLE uploads ADD COLUMN multipart TEXT NOT NULL DEFAULT '';

-- The parts of such a file that are there, numbered from 1 without a gap.
CREATE TABLE upload_parts (
    upload_id TEXT NOT NULL,
    number    BIGINT NOT NULL,
    -- Where it begins in the file, and how many bytes it has.
    start     BIGINT NOT NULL,
    length    BIGINT NOT NULL,
    -- What the store calls its content; empty where it does not say.
    etag      TEXT NOT NULL,
    PRIMARY KEY (upload_id, number)
);
