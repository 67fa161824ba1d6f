-- When a journal was lost and this one was built in its place. Instants are UTC microseconds.
CREATE TABLE rebuilt (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    at INTEGER NOT NULL,
    why TEXT NOT NULL,
    -- The name of the file that was set aside; empty when there was none.
    kept TEXT NOT NULL
) STRICT;

-- When a run was taken over from its note, which its record then says.
ALTER TABLE runs ADD COLUMN rebuilt_at INTEGER;
