-- As the migrations of SQLite, up to 0002. Text is in the order of its bytes, which lists rely on.
-- Instants are microseconds since 1970 in UTC. Specs are the manifests' `spec` in JSON.

-- Single values: the epoch of this database, the testbed's configuration.
CREATE TABLE settings (
    name  TEXT COLLATE "C" PRIMARY KEY NOT NULL,
    value TEXT COLLATE "C" NOT NULL
);

-- One row per look at a commit that came to something.
CREATE TABLE syncs (
    id            BIGINT PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    commit_id     TEXT COLLATE "C" NOT NULL,
    author        TEXT COLLATE "C" NOT NULL,
    subject       TEXT COLLATE "C" NOT NULL,
    committed_at  BIGINT NOT NULL,
    started_at    BIGINT NOT NULL,
    ended_at      BIGINT NOT NULL,
    outcome       TEXT COLLATE "C" NOT NULL,
    message       TEXT COLLATE "C" NOT NULL,
    added         BIGINT NOT NULL,
    changed       BIGINT NOT NULL,
    removed       BIGINT NOT NULL,
    findings      BIGINT NOT NULL,
    tree_id TEXT COLLATE "C" NOT NULL,
    -- The user, or the name of the trusted key, whose signature the commit carries; empty for none.
    signer TEXT COLLATE "C" NOT NULL,
    -- `commit`, or `drift` for what was put right between commits.
    cause TEXT COLLATE "C" NOT NULL,
    -- Who let a large removal pass; empty when nobody had to.
    approved_by TEXT COLLATE "C" NOT NULL
);
CREATE INDEX syncs_by_commit ON syncs (commit_id, id);

CREATE TABLE findings (
    sync_id    BIGINT NOT NULL REFERENCES syncs (id),
    position   BIGINT NOT NULL,
    rule       TEXT COLLATE "C" NOT NULL,
    severity   TEXT COLLATE "C" NOT NULL,
    message    TEXT COLLATE "C" NOT NULL,
    file       TEXT COLLATE "C" NOT NULL,
    line       BIGINT NOT NULL,
    col        BIGINT NOT NULL,
    end_line   BIGINT NOT NULL,
    end_col    BIGINT NOT NULL,
    help       TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (sync_id, position)
);

CREATE TABLE changes (
    sync_id     BIGINT NOT NULL REFERENCES syncs (id),
    position    BIGINT NOT NULL,
    kind        TEXT COLLATE "C" NOT NULL,
    name        TEXT COLLATE "C" NOT NULL,
    action      TEXT COLLATE "C" NOT NULL,
    before_json TEXT COLLATE "C" NOT NULL,
    after_json  TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (sync_id, position)
);

-- What the commit in force declares. Removed rows stay, with `deleted_at`.
CREATE TABLE users (
    name       TEXT COLLATE "C" PRIMARY KEY NOT NULL,
    spec       TEXT COLLATE "C" NOT NULL,
    sync_id    BIGINT NOT NULL REFERENCES syncs (id),
    deleted_at BIGINT
);

CREATE TABLE nodes (
    name          TEXT COLLATE "C" PRIMARY KEY NOT NULL,
    labels        TEXT COLLATE "C" NOT NULL,
    spec          TEXT COLLATE "C" NOT NULL,
    sync_id       BIGINT NOT NULL REFERENCES syncs (id),
    deleted_at    BIGINT,
    -- Grows whenever what the node should do changes; it survives removal, so that it never shrinks.
    generation    BIGINT NOT NULL,
    generation_at BIGINT NOT NULL,
    declared_at   BIGINT NOT NULL
);

-- What nodes say about themselves.
CREATE TABLE heartbeats (
    node            TEXT COLLATE "C" PRIMARY KEY NOT NULL,
    last_seen       BIGINT NOT NULL,
    agent_version   TEXT COLLATE "C" NOT NULL,
    boot_id         TEXT COLLATE "C" NOT NULL,
    address         TEXT COLLATE "C" NOT NULL,
    engine          TEXT COLLATE "C" NOT NULL,
    held_epoch      TEXT COLLATE "C" NOT NULL,
    held_generation BIGINT NOT NULL,
    online_since BIGINT NOT NULL
);

CREATE TABLE jobs (
    name       TEXT COLLATE "C" PRIMARY KEY NOT NULL,
    owner      TEXT COLLATE "C" NOT NULL,
    spec       TEXT COLLATE "C" NOT NULL,
    commit_id  TEXT COLLATE "C" NOT NULL,
    sync_id    BIGINT NOT NULL REFERENCES syncs (id),
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    deleted_at BIGINT
);

-- Which node runs which part of which job, now or formerly.
CREATE TABLE assignments (
    job        TEXT COLLATE "C" NOT NULL,
    node       TEXT COLLATE "C" NOT NULL,
    role       TEXT COLLATE "C" NOT NULL,
    since      BIGINT NOT NULL,
    removed_at BIGINT,
    PRIMARY KEY (job, node, role)
);
CREATE INDEX assignments_by_node ON assignments (node);

CREATE TABLE runs (
    id           TEXT COLLATE "C" NOT NULL,
    role         TEXT COLLATE "C" NOT NULL,
    job          TEXT COLLATE "C" NOT NULL,
    node         TEXT COLLATE "C" NOT NULL,
    owner        TEXT COLLATE "C" NOT NULL,
    scheduled_at BIGINT NOT NULL,
    phase        TEXT COLLATE "C" NOT NULL,
    reason       TEXT COLLATE "C",
    message      TEXT COLLATE "C" NOT NULL,
    started_at   BIGINT,
    ended_at     BIGINT,
    exit_code    BIGINT,
    image_digest TEXT COLLATE "C" NOT NULL,
    commit_id    TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (id, role)
);
CREATE INDEX runs_by_time ON runs (scheduled_at, id, role);
CREATE INDEX runs_by_owner ON runs (owner, scheduled_at);
CREATE INDEX runs_by_node ON runs (node, scheduled_at);
CREATE INDEX runs_by_job ON runs (job, scheduled_at);

-- Every report about a run, once each.
CREATE TABLE run_events (
    run_id       TEXT COLLATE "C" NOT NULL,
    role         TEXT COLLATE "C" NOT NULL,
    sequence     BIGINT NOT NULL,
    phase        TEXT COLLATE "C" NOT NULL,
    reason       TEXT COLLATE "C",
    message      TEXT COLLATE "C" NOT NULL,
    at           BIGINT NOT NULL,
    exit_code    BIGINT,
    image_digest TEXT COLLATE "C" NOT NULL,
    commit_id    TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (run_id, role, sequence)
);

-- Files of runs that are announced. What is there of them lies in the staging folder.
CREATE TABLE uploads (
    id         TEXT COLLATE "C" PRIMARY KEY NOT NULL,
    run_id     TEXT COLLATE "C" NOT NULL,
    role       TEXT COLLATE "C" NOT NULL,
    name       TEXT COLLATE "C" NOT NULL,
    size       BIGINT NOT NULL,
    sha256     TEXT COLLATE "C" NOT NULL,
    begun_at   BIGINT NOT NULL,
    UNIQUE (run_id, role, name)
);

-- Files of runs that are in a store.
CREATE TABLE artifacts (
    run_id    TEXT COLLATE "C" NOT NULL,
    role      TEXT COLLATE "C" NOT NULL,
    name      TEXT COLLATE "C" NOT NULL,
    size      BIGINT NOT NULL,
    sha256    TEXT COLLATE "C" NOT NULL,
    store     TEXT COLLATE "C" NOT NULL,
    path      TEXT COLLATE "C" NOT NULL,
    stored_at BIGINT NOT NULL,
    PRIMARY KEY (run_id, role, name)
);

CREATE INDEX changes_by_name ON changes (kind, name, sync_id);

-- What people did to the syncs: suspend and resume, pin and unpin, approve. The latest of each pair
-- is what holds.
CREATE TABLE actions (
    id        BIGINT PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    at        BIGINT NOT NULL,
    actor     TEXT COLLATE "C" NOT NULL,
    action    TEXT COLLATE "C" NOT NULL,
    commit_id TEXT COLLATE "C" NOT NULL,
    reason    TEXT COLLATE "C" NOT NULL,
    -- Until when it holds; absent for good.
    until     BIGINT,
    -- The sync that is approved; absent for what is about none.
    sync_id   BIGINT
);
CREATE INDEX actions_by_action ON actions (action, id);


-- How the repository is, by the last change of each condition.
CREATE TABLE conditions (
    name    TEXT COLLATE "C" PRIMARY KEY NOT NULL,
    status  BIGINT NOT NULL,
    reason  TEXT COLLATE "C" NOT NULL,
    message TEXT COLLATE "C" NOT NULL,
    since   BIGINT NOT NULL
);

-- What is to be told to others, until it is.
CREATE TABLE outbox (
    id         BIGINT PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    target     TEXT COLLATE "C" NOT NULL,
    body       TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    attempts   BIGINT NOT NULL DEFAULT 0,
    next_at    BIGINT NOT NULL,
    error      TEXT COLLATE "C" NOT NULL DEFAULT ''
);
CREATE INDEX outbox_by_target ON outbox (target, id);
