-- What people said to this node, in JSON: `there` to the reconciler, `here` on this host.
CREATE TABLE instructions (
    place TEXT PRIMARY KEY,
    said TEXT NOT NULL
) STRICT;
