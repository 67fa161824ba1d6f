-- How long files are kept, and which runs' for good.

-- The job that a file is of: its retention is that of its job, and what is due is found by it.
ALTER TABLE artifacts ADD COLUMN job TEXT NOT NULL DEFAULT '';
UPDATE artifacts SET job = COALESCE(
    (SELECT runs.job FROM runs WHERE runs.id = artifacts.run_id AND runs.role = artifacts.role), '');
-- When its retention was over, and how long it was, in seconds; absent before.
ALTER TABLE artifacts ADD COLUMN expired_at BIGINT;
ALTER TABLE artifacts ADD COLUMN kept_for BIGINT;
-- When its store was seen not to have it any more.
ALTER TABLE artifacts ADD COLUMN removed_at BIGINT;
CREATE INDEX artifacts_stored ON artifacts (job, stored_at) WHERE expired_at IS NULL;
CREATE INDEX artifacts_expiring ON artifacts (store, expired_at)
    WHERE expired_at IS NOT NULL AND removed_at IS NULL;

-- Runs whose files stay, by the last word about it.
CREATE TABLE kept_runs (
    run_id TEXT PRIMARY KEY NOT NULL,
    actor  TEXT NOT NULL,
    reason TEXT NOT NULL,
    since  BIGINT NOT NULL
);

-- Uploads that nobody goes on with are found by when they were announced, or a part was last sent to the store itself.
ALTER TABLE uploads RENAME COLUMN begun_at TO active_at;
CREATE INDEX uploads_by_age ON uploads (active_at);
