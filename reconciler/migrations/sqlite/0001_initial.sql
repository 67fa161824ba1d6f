-- Instants are microseconds since 1970 in UTC. Specs are the manifests' `spec` in JSON.

-- Single values: the epoch of this database, the testbed's configuration.
CREATE TABLE settings (
    name  TEXT PRIMARY KEY NOT NULL,
    value TEXT NOT NULL
);

-- One row per look at a commit that came to something.
CREATE TABLE syncs (
    id            INTEGER PRIMARY KEY NOT NULL,
    commit_id     TEXT NOT NULL,
    author        TEXT NOT NULL,
    subject       TEXT NOT NULL,
    committed_at  BIGINT NOT NULL,
    started_at    BIGINT NOT NULL,
    ended_at      BIGINT NOT NULL,
    outcome       TEXT NOT NULL,
    message       TEXT NOT NULL,
    added         BIGINT NOT NULL,
    changed       BIGINT NOT NULL,
    removed       BIGINT NOT NULL,
    findings      BIGINT NOT NULL
);
CREATE INDEX syncs_by_commit ON syncs (commit_id, id);

CREATE TABLE findings (
    sync_id    BIGINT NOT NULL REFERENCES syncs (id),
    position   BIGINT NOT NULL,
    rule       TEXT NOT NULL,
    severity   TEXT NOT NULL,
    message    TEXT NOT NULL,
    file       TEXT NOT NULL,
    line       BIGINT NOT NULL,
    col        BIGINT NOT NULL,
    end_line   BIGINT NOT NULL,
    end_col    BIGINT NOT NULL,
    help       TEXT NOT NULL,
    PRIMARY KEY (sync_id, position)
);

CREATE TABLE changes (
    sync_id     BIGINT NOT NULL REFERENCES syncs (id),
    position    BIGINT NOT NULL,
    kind        TEXT NOT NULL,
    name        TEXT NOT NULL,
    action      TEXT NOT NULL,
    before_json TEXT NOT NULL,
    after_json  TEXT NOT NULL,
    PRIMARY KEY (sync_id, position)
);

-- What the commit in force declares. Removed rows stay, with `deleted_at`.
CREATE TABLE users (
    name       TEXT PRIMARY KEY NOT NULL,
    spec       TEXT NOT NULL,
    sync_id    BIGINT NOT NULL REFERENCES syncs (id),
    deleted_at BIGINT
);

CREATE TABLE nodes (
    name          TEXT PRIMARY KEY NOT NULL,
    labels        TEXT NOT NULL,
    spec          TEXT NOT NULL,
    sync_id       BIGINT NOT NULL REFERENCES syncs (id),
    deleted_at    BIGINT,
    -- Grows whenever what the node should do changes; it survives removal, so that it never shrinks.
    generation    BIGINT NOT NULL
);

-- What nodes say about themselves.
CREATE TABLE heartbeats (
    node            TEXT PRIMARY KEY NOT NULL,
    last_seen       BIGINT NOT NULL,
    agent_version   TEXT NOT NULL,
    boot_id         TEXT NOT NULL,
    address         TEXT NOT NULL,
    engine          TEXT NOT NULL,
    held_epoch      TEXT NOT NULL,
    held_generation BIGINT NOT NULL
);

CREATE TABLE jobs (
    name       TEXT PRIMARY KEY NOT NULL,
    owner      TEXT NOT NULL,
    spec       TEXT NOT NULL,
    commit_id  TEXT NOT NULL,
    sync_id    BIGINT NOT NULL REFERENCES syncs (id),
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    deleted_at BIGINT
);

-- Which node runs which part of which job, now or formerly.
CREATE TABLE assignments (
    job        TEXT NOT NULL,
    node       TEXT NOT NULL,
    role       TEXT NOT NULL,
    since      BIGINT NOT NULL,
    removed_at BIGINT,
    PRIMARY KEY (job, node, role)
);
CREATE INDEX assignments_by_node ON assignments (node);

CREATE TABLE runs (
    id           TEXT NOT NULL,
    role         TEXT NOT NULL,
    job          TEXT NOT NULL,
    node         TEXT NOT NULL,
    owner        TEXT NOT NULL,
    scheduled_at BIGINT NOT NULL,
    phase        TEXT NOT NULL,
    reason       TEXT,
    message      TEXT NOT NULL,
    started_at   BIGINT,
    ended_at     BIGINT,
    exit_code    BIGINT,
    image_digest TEXT NOT NULL,
    commit_id    TEXT NOT NULL,
    PRIMARY KEY (id, role)
);
CREATE INDEX runs_by_time ON runs (scheduled_at, id, role);
CREATE INDEX runs_by_owner ON runs (owner, scheduled_at);
CREATE INDEX runs_by_node ON runs (node, scheduled_at);
CREATE INDEX runs_by_job ON runs (job, scheduled_at);

-- Every report about a run, once each.
CREATE TABLE run_events (
    run_id       TEXT NOT NULL,
    role         TEXT NOT NULL,
    sequence     BIGINT NOT NULL,
    phase        TEXT NOT NULL,
    reason       TEXT,
    message      TEXT NOT NULL,
    at           BIGINT NOT NULL,
    exit_code    BIGINT,
    image_digest TEXT NOT NULL,
    commit_id    TEXT NOT NULL,
    PRIMARY KEY (run_id, role, sequence)
);

-- Files of runs that are announced. What is there of them lies in the staging folder.
CREATE TABLE uploads (
    id         TEXT PRIMARY KEY NOT NULL,
    run_id     TEXT NOT NULL,
    role       TEXT NOT NULL,
    name       TEXT NOT NULL,
    size       BIGINT NOT NULL,
    sha256     TEXT NOT NULL,
    begun_at   BIGINT NOT NULL,
    UNIQUE (run_id, role, name)
);

-- Files of runs that are in a store.
CREATE TABLE artifacts (
    run_id    TEXT NOT NULL,
    role      TEXT NOT NULL,
    name      TEXT NOT NULL,
    size      BIGINT NOT NULL,
    sha256    TEXT NOT NULL,
    store     TEXT NOT NULL,
    path      TEXT NOT NULL,
    stored_at BIGINT NOT NULL,
    PRIMARY KEY (run_id, role, name)
);
