-- What a node measures of its clock and of its host, in JSON; empty until it did.
ALTER TABLE heartbeats ADD COLUMN clock TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE heartbeats ADD COLUMN host TEXT COLLATE "C" NOT NULL DEFAULT '';
