-- What an agent must not forget. Instants are UTC microseconds.

-- The latest snapshot of the desired state, as it was received.
CREATE TABLE snapshot (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    epoch TEXT NOT NULL,
    generation INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    encoded BLOB NOT NULL
) STRICT;

-- Up to which instant each job's occurrences are settled.
CREATE TABLE accounts (
    job TEXT PRIMARY KEY,
    settled INTEGER NOT NULL
) STRICT;

CREATE TABLE runs (
    run TEXT NOT NULL,
    role TEXT NOT NULL,
    job TEXT NOT NULL,
    scheduled_at INTEGER NOT NULL,
    commit_hash TEXT NOT NULL,
    -- What is to be run, in JSON; null for an occurrence that was not to run.
    ordered TEXT,
    -- Where it stands: the word, and all of it in JSON.
    stage TEXT NOT NULL,
    state TEXT NOT NULL,
    image_digest TEXT NOT NULL DEFAULT '',
    -- The number of its last event.
    sequence INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (run, role)
) STRICT;

CREATE INDEX runs_open ON runs (stage) WHERE stage <> 'finished';

-- Events that the reconciler has not acknowledged.
CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    run TEXT NOT NULL,
    role TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    encoded BLOB NOT NULL,
    UNIQUE (run, role, sequence)
) STRICT;

-- Files that the reconciler does not have.
CREATE TABLE uploads (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    run TEXT NOT NULL,
    role TEXT NOT NULL,
    name TEXT NOT NULL,
    size INTEGER NOT NULL,
    sha256 BLOB NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    UNIQUE (run, role, name)
) STRICT;
