-- Servers that clients want: what is wanted, how it stands, and when either side was last heard of.
CREATE TABLE tasks (
    run_id       TEXT PRIMARY KEY NOT NULL,
    job          TEXT NOT NULL,
    client       TEXT NOT NULL,
    server       TEXT NOT NULL,
    scheduled_at BIGINT NOT NULL,
    -- When its reservation ends.
    ends_at      BIGINT NOT NULL,
    -- For how long either side may be silent, in microseconds.
    ttl          BIGINT NOT NULL,
    state        TEXT NOT NULL,
    message      TEXT NOT NULL,
    client_seen  BIGINT NOT NULL,
    server_seen  BIGINT NOT NULL,
    -- Grows with each change of the state.
    version      BIGINT NOT NULL
);
CREATE INDEX tasks_by_end ON tasks (ends_at);
