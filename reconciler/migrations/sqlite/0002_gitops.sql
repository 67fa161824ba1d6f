-- What a sync was of, who signed it, and who let it pass.
ALTER TABLE syncs ADD COLUMN tree_id TEXT NOT NULL DEFAULT '';
-- The user, or the name of the trusted key, whose signature the commit carries; empty for none.
ALTER TABLE syncs ADD COLUMN signer TEXT NOT NULL DEFAULT '';
-- `commit`, or `drift` for what was put right between commits.
ALTER TABLE syncs ADD COLUMN cause TEXT NOT NULL DEFAULT 'commit';
-- Who let a large removal pass; empty when nobody had to.
ALTER TABLE syncs ADD COLUMN approved_by TEXT NOT NULL DEFAULT '';
CREATE INDEX changes_by_name ON changes (kind, name, sync_id);

-- What people did to the syncs: suspend and resume, pin and unpin, approve. The latest of each pair
-- is what holds.
CREATE TABLE actions (
    id        INTEGER PRIMARY KEY NOT NULL,
    at        BIGINT NOT NULL,
    actor     TEXT NOT NULL,
    action    TEXT NOT NULL,
    commit_id TEXT NOT NULL,
    reason    TEXT NOT NULL,
    -- Until when it holds; absent for good.
    until     BIGINT,
    -- The sync that is approved; absent for what is about none.
    sync_id   BIGINT
);
CREATE INDEX actions_by_action ON actions (action, id);

-- When the generation grew last, since when the node is declared, and since when it is heard of without a gap. Of a
-- node from before, no more is known than when it was written last.
ALTER TABLE nodes ADD COLUMN generation_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE nodes ADD COLUMN declared_at BIGINT NOT NULL DEFAULT 0;
UPDATE nodes SET (generation_at, declared_at) = (SELECT ended_at, ended_at FROM syncs WHERE id = nodes.sync_id);
ALTER TABLE heartbeats ADD COLUMN online_since BIGINT NOT NULL DEFAULT 0;

-- How the repository is, by the last change of each condition.
CREATE TABLE conditions (
    name    TEXT PRIMARY KEY NOT NULL,
    status  BIGINT NOT NULL,
    reason  TEXT NOT NULL,
    message TEXT NOT NULL,
    since   BIGINT NOT NULL
);

-- What is to be told to others, until it is.
CREATE TABLE outbox (
    -- A number is never given again: receivers tell deliveries apart by it.
    id         INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    target     TEXT NOT NULL,
    body       TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    attempts   BIGINT NOT NULL DEFAULT 0,
    next_at    BIGINT NOT NULL,
    error      TEXT NOT NULL DEFAULT ''
);
CREATE INDEX outbox_by_target ON outbox (target, id);
