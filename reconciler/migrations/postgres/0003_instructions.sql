-- What people said to nodes, beside what the repository declares.

-- New runs are kept off a node, by the last word about it.
CREATE TABLE cordons (
    node    TEXT COLLATE "C" PRIMARY KEY NOT NULL,
    actor   TEXT COLLATE "C" NOT NULL,
    reason  TEXT COLLATE "C" NOT NULL,
    since   BIGINT NOT NULL,
    -- Until when; absent for good.
    until   BIGINT,
    -- When what still runs is stopped; absent: it goes on to its end.
    stop_at BIGINT
);

-- Runs that somebody cancelled. They end when their nodes hear of it.
CREATE TABLE cancellations (
    run_id TEXT COLLATE "C" PRIMARY KEY NOT NULL,
    node   TEXT COLLATE "C" NOT NULL,
    actor  TEXT COLLATE "C" NOT NULL,
    reason TEXT COLLATE "C" NOT NULL,
    at     BIGINT NOT NULL
);

-- What a host says of what is to run there, in JSON; empty until it did.
ALTER TABLE heartbeats ADD COLUMN outlook TEXT COLLATE "C" NOT NULL DEFAULT '';
