-- Searches for the commit that made a case bad. What they know is derived from the
-- results of runs; a row says what is searched, and how it ended.

CREATE TABLE bisections (
    id         INTEGER PRIMARY KEY,
    upstream   TEXT NOT NULL CONSTRAINT upstream_is_named CHECK (upstream <> ''),
    target     TEXT NOT NULL CONSTRAINT target_is_named CHECK (target <> ''),
    machine    TEXT NOT NULL,
    case_name  TEXT NOT NULL CONSTRAINT case_is_named CHECK (case_name <> ''),
    good       TEXT NOT NULL,
    bad        TEXT NOT NULL,
    fix        INTEGER NOT NULL CONSTRAINT fix_is_0_or_1 CHECK (fix IN (0, 1)),
    crash      TEXT NOT NULL,
    asker      TEXT NOT NULL CONSTRAINT asker_is_a_word CHECK (asker IN ('hand', 'pass')),
    confidence REAL NOT NULL CONSTRAINT confidence_is_a_chance CHECK (confidence > 0 AND confidence < 1),
    state      TEXT NOT NULL CONSTRAINT state_is_a_word CHECK (state IN ('running', 'ended')),
    ending     TEXT NOT NULL CONSTRAINT ending_is_a_word CHECK (ending IN
               ('', 'culprit', 'range', 'bad_before', 'no_culprit', 'irreproducible', 'over_budget', 'untestable')),
    first      TEXT NOT NULL,
    last       TEXT NOT NULL,
    posterior  REAL NOT NULL,
    verified   INTEGER NOT NULL CONSTRAINT verified_is_0_or_1 CHECK (verified IN (0, 1)),
    opened     INTEGER NOT NULL,
    closed     INTEGER,
    UNIQUE (upstream, target, machine, case_name, good, bad, fix, crash),
    CONSTRAINT only_an_ended_one_has_an_ending CHECK ((state = 'ended') = (ending <> '')),
    CONSTRAINT only_an_ended_one_is_closed CHECK ((state = 'ended') = (closed IS NOT NULL)),
    FOREIGN KEY (upstream, good) REFERENCES commits (upstream, hash),
    FOREIGN KEY (upstream, bad) REFERENCES commits (upstream, hash)
) STRICT;

-- Older than what is followed: on the line only because a search begins there. Passes
-- that test every commit leave it out.
ALTER TABLE commits ADD COLUMN beyond INTEGER NOT NULL DEFAULT 0 CONSTRAINT beyond_is_0_or_1 CHECK (beyond IN (0, 1));

-- A search asks for runs of one case. What a pass counts are its own runs.
ALTER TABLE jobs ADD COLUMN case_name TEXT NOT NULL GENERATED ALWAYS AS (coalesce(payload ->> 'case', '')) VIRTUAL;
DROP INDEX jobs_of_target;
CREATE INDEX jobs_of_target ON jobs (target, kind, rig, build, machine, suite, layer, image, id, clean, dropped, done_at, case_name);
