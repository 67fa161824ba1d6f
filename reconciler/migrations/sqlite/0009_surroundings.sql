-- What is fetched for nodes from services outside: the weather of each place, and the orbits of satellites.

CREATE TABLE surroundings (
    -- What it is, such as `orbits` or `weather 51.51 -0.13`.
    source        TEXT PRIMARY KEY NOT NULL,
    -- A hash of the settings by which it was fetched last. Secrets are no part of it.
    origin        TEXT NOT NULL,
    -- What was fetched, and when; absent before anything was.
    content       BLOB NOT NULL,
    fetched_at    BIGINT,
    -- By what the other side tells whether there is something newer, in JSON.
    validator     TEXT NOT NULL,
    tried_at      BIGINT NOT NULL,
    again_at      BIGINT NOT NULL,
    -- How often it failed since it last went well, since when, and why at last; for people.
    failures      BIGINT NOT NULL,
    failing_since BIGINT,
    problem       TEXT NOT NULL
);
