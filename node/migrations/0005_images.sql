-- The images that this agent has pulled, and when a run last wanted each. Others are not its own to remove.
CREATE TABLE images (
    image TEXT PRIMARY KEY,
    used_at INTEGER NOT NULL
) STRICT;
