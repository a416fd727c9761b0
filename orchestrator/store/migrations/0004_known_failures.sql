-- What became of the failures that the pipeline lists as known.

CREATE TABLE known_failures (
    upstream  TEXT NOT NULL,
    target    TEXT NOT NULL,
    machine   TEXT NOT NULL CONSTRAINT machine_is_named CHECK (machine <> ''),
    case_name TEXT NOT NULL CONSTRAINT case_is_named CHECK (case_name <> ''),
    reason    TEXT NOT NULL,
    link      TEXT NOT NULL,
    since     INTEGER NOT NULL CONSTRAINT since_is_not_negative CHECK (since >= 0),
    state     TEXT NOT NULL CONSTRAINT state_is_known CHECK (state IN ('expected', 'unexpectedly passed', 'lapsed', 'vanished', 'untold')),
    lacks     INTEGER NOT NULL CONSTRAINT lacks_is_not_negative CHECK (lacks >= 0),
    lapsed    INTEGER NOT NULL CONSTRAINT lapsed_has_a_place CHECK ((state = 'lapsed') = (lapsed > 0)),
    PRIMARY KEY (upstream, target, machine, case_name)
) STRICT, WITHOUT ROWID;
