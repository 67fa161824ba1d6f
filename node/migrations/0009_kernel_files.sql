-- Files of the host that runs have changed, until they are put back. A file is one run's at a time.
CREATE TABLE kernel_files (
    path TEXT PRIMARY KEY,
    -- The run, as its folder is named.
    run TEXT NOT NULL,
    -- What the file is to hold again.
    old TEXT NOT NULL,
    -- Which boot of the host it was: another has its own.
    boot TEXT NOT NULL
) STRICT;
