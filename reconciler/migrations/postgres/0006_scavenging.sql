-- What a node's owner wants of its link, and what becomes of the runs in the way.

-- A node is in scavenger mode, by the last word about it.
CREATE TABLE scavengings (
    node   TEXT COLLATE "C" PRIMARY KEY NOT NULL,
    actor  TEXT COLLATE "C" NOT NULL,
    reason TEXT COLLATE "C" NOT NULL,
    since  BIGINT NOT NULL,
    -- Until when; absent for good.
    until  BIGINT
);

-- One-shot runs that were moved to another instant, where they have their nodes for themselves until they are over. Rows
-- stay, so that the largest id says whether anything was reserved since.
CREATE TABLE reservations (
    id           BIGINT PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    -- The run at the new instant, and the one that it stands for.
    run_id       TEXT COLLATE "C" NOT NULL,
    moved_run_id TEXT COLLATE "C" NOT NULL,
    job          TEXT COLLATE "C" NOT NULL,
    node         TEXT COLLATE "C" NOT NULL,
    -- The instant that the job's manifest says, and the new one.
    at           BIGINT NOT NULL,
    moved_to     BIGINT NOT NULL,
    made_at      BIGINT NOT NULL,
    -- When the run was over, or was not declared any more.
    released_at  BIGINT
);
CREATE INDEX reservations_by_run ON reservations (run_id);
CREATE INDEX reservations_held ON reservations (released_at, id);

-- The instant that a run was moved to.
ALTER TABLE runs ADD COLUMN moved_to BIGINT;
