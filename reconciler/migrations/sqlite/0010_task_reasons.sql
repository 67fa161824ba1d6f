-- Why there is no server, where its client ends for the same reason; empty for everything else.
ALTER TABLE tasks ADD COLUMN reason TEXT NOT NULL DEFAULT '';
