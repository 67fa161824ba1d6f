-- What a node measures of its clock and of its host, in JSON; empty until it did.
ALTER TABLE heartbeats ADD COLUMN clock TEXT NOT NULL DEFAULT '';
ALTER TABLE heartbeats ADD COLUMN host TEXT NOT NULL DEFAULT '';
