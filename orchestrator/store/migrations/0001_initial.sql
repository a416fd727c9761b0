-- The first schema. docs/schema.md says what each table and column means.
-- Times and durations are integer microseconds; times since 1970 in UTC.

PRAGMA application_id = 1751414627; -- "hdwc"

CREATE TABLE commits (
    upstream TEXT NOT NULL CONSTRAINT upstream_is_named CHECK (upstream <> ''),
    hash     TEXT NOT NULL CONSTRAINT commit_has_a_hash CHECK (hash <> ''),
    parent   TEXT NOT NULL,
    position INTEGER NOT NULL CONSTRAINT positions_count_from_1 CHECK (position >= 1),
    author   TEXT NOT NULL,
    email    TEXT NOT NULL,
    time     INTEGER NOT NULL,
    subject  TEXT NOT NULL,
    on_line  INTEGER NOT NULL CONSTRAINT on_line_is_0_or_1 CHECK (on_line IN (0, 1)),
    seen_at  INTEGER NOT NULL,
    PRIMARY KEY (upstream, hash)
) STRICT, WITHOUT ROWID;

-- A line has one commit at each position.
CREATE UNIQUE INDEX commits_line ON commits (upstream, position) WHERE on_line = 1;
CREATE INDEX commits_by_hash ON commits (hash);

CREATE TABLE inputs (
    target      TEXT NOT NULL CONSTRAINT target_is_named CHECK (target <> ''),
    salt        TEXT NOT NULL,
    commit_hash TEXT NOT NULL CONSTRAINT inputs_have_a_commit CHECK (commit_hash <> ''),
    build       TEXT NOT NULL CONSTRAINT inputs_have_a_digest CHECK (build <> ''),
    set_at      INTEGER NOT NULL,
    PRIMARY KEY (target, salt, commit_hash)
) STRICT, WITHOUT ROWID;

CREATE INDEX inputs_by_commit ON inputs (commit_hash, target, build, set_at);
CREATE INDEX inputs_by_build ON inputs (build, commit_hash);

CREATE TABLE selections (
    upstream    TEXT NOT NULL,
    target      TEXT NOT NULL CONSTRAINT target_is_named CHECK (target <> ''),
    commit_hash TEXT NOT NULL,
    rig         TEXT NOT NULL,
    reason      TEXT NOT NULL CONSTRAINT reason_is_a_word CHECK (reason IN ('newest', 'every', 'search', 'baseline', 'hand')),
    upto        INTEGER NOT NULL CONSTRAINT upto_is_a_layer CHECK (upto BETWEEN 0 AND 4),
    selected_at INTEGER NOT NULL,
    PRIMARY KEY (upstream, target, commit_hash, rig),
    FOREIGN KEY (upstream, commit_hash) REFERENCES commits (upstream, hash)
) STRICT, WITHOUT ROWID;

CREATE TABLE jobs (
    seq      INTEGER PRIMARY KEY,
    id       TEXT NOT NULL UNIQUE CONSTRAINT job_has_an_id CHECK (id <> ''),
    payload  TEXT NOT NULL CONSTRAINT payload_is_json CHECK (json_valid(payload)),
    kind     TEXT NOT NULL GENERATED ALWAYS AS (payload ->> 'kind') STORED
             CONSTRAINT kind_is_a_word CHECK (kind IN ('build', 'run')),
    target   TEXT NOT NULL GENERATED ALWAYS AS (payload ->> 'target') STORED
             CONSTRAINT target_is_named CHECK (target <> ''),
    build    TEXT NOT NULL GENERATED ALWAYS AS (payload ->> 'build') STORED
             CONSTRAINT job_has_a_build CHECK (build <> ''),
    machine  TEXT NOT NULL GENERATED ALWAYS AS (coalesce(payload ->> 'machine', '')) STORED,
    suite    TEXT NOT NULL GENERATED ALWAYS AS (coalesce(payload ->> 'suite', '')) STORED,
    layer    TEXT NOT NULL GENERATED ALWAYS AS (coalesce(payload ->> 'layer', '')) STORED,
    rig      TEXT NOT NULL GENERATED ALWAYS AS (coalesce(payload ->> 'rig', '')) STORED,
    image    TEXT NOT NULL GENERATED ALWAYS AS (coalesce(payload ->> 'image', '')) STORED,
    clean    INTEGER NOT NULL GENERATED ALWAYS AS (coalesce(payload ->> 'clean', 0)) STORED,
    created  INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0 CONSTRAINT attempts_are_counted CHECK (attempts >= 0),
    done_at  INTEGER,
    dropped  INTEGER NOT NULL DEFAULT 0 CONSTRAINT dropped_is_0_or_1 CHECK (dropped IN (0, 1)),
    CONSTRAINT a_dropped_job_is_done CHECK (dropped = 0 OR done_at IS NOT NULL),
    CONSTRAINT run_says_what_runs CHECK (kind = 'build'
        OR (machine <> '' AND suite <> '' AND layer IN ('smoke', 'functional', 'stress', 'soak')))
) STRICT;

CREATE INDEX jobs_open ON jobs (seq) WHERE done_at IS NULL;
CREATE INDEX jobs_of_target ON jobs (target, kind, rig, build, machine, suite, layer, image, id, clean, dropped, done_at);
CREATE INDEX jobs_of_build ON jobs (build, kind, machine, suite, id, done_at);

CREATE TABLE builds (
    id          TEXT NOT NULL PRIMARY KEY CONSTRAINT build_has_a_digest CHECK (id <> ''),
    target      TEXT NOT NULL CONSTRAINT target_is_named CHECK (target <> ''),
    commit_hash TEXT NOT NULL,
    status      TEXT NOT NULL CONSTRAINT status_is_a_word CHECK (status IN ('passed', 'failed', 'broken', 'skipped')),
    reason      TEXT NOT NULL,
    image       TEXT NOT NULL,
    os          TEXT NOT NULL,
    incremental INTEGER NOT NULL CONSTRAINT incremental_is_0_or_1 CHECK (incremental IN (0, 1)),
    log         TEXT NOT NULL,
    duration    INTEGER NOT NULL CONSTRAINT duration_is_not_negative CHECK (duration >= 0),
    finished    INTEGER NOT NULL,
    CONSTRAINT only_a_passed_build_has_an_image CHECK ((status = 'passed') = (image <> ''))
) STRICT, WITHOUT ROWID;

CREATE INDEX builds_of_target ON builds (target);

CREATE TABLE runs (
    id        TEXT NOT NULL PRIMARY KEY CONSTRAINT run_id_has_12_digits CHECK (length(id) = 12),
    job       TEXT NOT NULL REFERENCES jobs (id),
    attempt   INTEGER NOT NULL CONSTRAINT attempts_count_from_1 CHECK (attempt >= 1),
    state     TEXT NOT NULL CONSTRAINT state_is_a_word CHECK (state IN ('running', 'finished', 'abandoned')),
    status    TEXT CONSTRAINT status_is_a_word CHECK (status IN ('passed', 'failed', 'broken', 'skipped')),
    reason    TEXT NOT NULL DEFAULT '',
    host      TEXT NOT NULL,
    started   INTEGER NOT NULL,
    finished  INTEGER,
    boot_id   TEXT NOT NULL DEFAULT '',
    kernel    TEXT NOT NULL DEFAULT '',
    accel     TEXT NOT NULL DEFAULT '',
    monitor   TEXT NOT NULL DEFAULT '',
    boot_time INTEGER NOT NULL DEFAULT 0,
    command   TEXT NOT NULL DEFAULT '',
    console   TEXT NOT NULL DEFAULT '',
    passed    INTEGER NOT NULL DEFAULT 0,
    failed    INTEGER NOT NULL DEFAULT 0,
    broken    INTEGER NOT NULL DEFAULT 0,
    skipped   INTEGER NOT NULL DEFAULT 0,
    expected_failure INTEGER NOT NULL DEFAULT 0,
    UNIQUE (job, attempt),
    CONSTRAINT only_a_finished_run_has_a_status CHECK ((state = 'finished') = (status IS NOT NULL)),
    CONSTRAINT only_a_finished_run_has_an_end CHECK ((state = 'finished') = (finished IS NOT NULL))
) STRICT;

-- Whatever goes wrong above it, the database itself counts a job once.
CREATE UNIQUE INDEX runs_one_counts ON runs (job) WHERE state IN ('running', 'finished');
CREATE INDEX runs_running ON runs (started) WHERE state = 'running';
-- Beside the order it holds what the dashboard adds up.
CREATE INDEX runs_finished ON runs (finished, passed, failed, broken, skipped, expected_failure) WHERE state = 'finished';

CREATE TABLE results (
    run       TEXT NOT NULL REFERENCES runs (id),
    n         INTEGER NOT NULL,
    case_name TEXT NOT NULL CONSTRAINT case_is_named CHECK (case_name <> ''),
    status    TEXT NOT NULL CONSTRAINT status_is_a_word
              CHECK (status IN ('passed', 'failed', 'broken', 'skipped', 'expected_failure')),
    reason    TEXT NOT NULL,
    output    TEXT NOT NULL,
    duration  INTEGER NOT NULL CONSTRAINT duration_is_not_negative CHECK (duration >= 0),
    PRIMARY KEY (run, n),
    UNIQUE (run, case_name)
) STRICT, WITHOUT ROWID;

CREATE TABLE metrics (
    run       TEXT NOT NULL,
    case_name TEXT NOT NULL,
    name      TEXT NOT NULL CONSTRAINT metric_is_named CHECK (name <> ''),
    value     REAL NOT NULL,
    PRIMARY KEY (run, case_name, name),
    FOREIGN KEY (run, case_name) REFERENCES results (run, case_name)
) STRICT, WITHOUT ROWID;

CREATE TABLE crashes (
    run       TEXT NOT NULL REFERENCES runs (id),
    n         INTEGER NOT NULL,
    title     TEXT NOT NULL,
    signature TEXT NOT NULL,
    text      TEXT NOT NULL,
    PRIMARY KEY (run, n)
) STRICT, WITHOUT ROWID;

CREATE TABLE verdicts (
    build     TEXT NOT NULL REFERENCES builds (id),
    machine   TEXT NOT NULL,
    case_name TEXT NOT NULL CONSTRAINT case_is_named CHECK (case_name <> ''),
    verdict   TEXT NOT NULL CONSTRAINT verdict_is_a_word CHECK (verdict IN ('good', 'bad', 'skip')),
    passed    INTEGER NOT NULL,
    failed    INTEGER NOT NULL,
    broken    INTEGER NOT NULL,
    skipped   INTEGER NOT NULL,
    judged_at INTEGER NOT NULL,
    PRIMARY KEY (build, machine, case_name)
) STRICT, WITHOUT ROWID;

CREATE TABLE regressions (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    upstream   TEXT NOT NULL,
    target     TEXT NOT NULL CONSTRAINT target_is_named CHECK (target <> ''),
    machine    TEXT NOT NULL,
    case_name  TEXT NOT NULL CONSTRAINT case_is_named CHECK (case_name <> ''),
    state      TEXT NOT NULL CONSTRAINT state_is_a_word CHECK (state IN ('open', 'located', 'ranged', 'fixed', 'withdrawn')),
    good       TEXT NOT NULL,
    bad        TEXT NOT NULL,
    culprit    TEXT,
    fixed_by   TEXT,
    confidence REAL NOT NULL CONSTRAINT confidence_is_a_probability CHECK (confidence BETWEEN 0 AND 1),
    reason     TEXT NOT NULL,
    run        TEXT REFERENCES runs (id),
    opened     INTEGER NOT NULL,
    closed     INTEGER,
    reported   TEXT NOT NULL DEFAULT '',
    FOREIGN KEY (upstream, bad) REFERENCES commits (upstream, hash),
    CONSTRAINT a_located_regression_has_a_culprit CHECK (state <> 'located' OR culprit IS NOT NULL),
    CONSTRAINT a_fixed_regression_says_where CHECK ((state = 'fixed') = (fixed_by IS NOT NULL)),
    CONSTRAINT only_an_open_regression_has_no_end CHECK ((state = 'open') = (closed IS NULL))
) STRICT;

CREATE UNIQUE INDEX regressions_open ON regressions (upstream, target, machine, case_name, bad) WHERE state = 'open';
CREATE INDEX regressions_of_case ON regressions (upstream, target, machine, case_name);
CREATE INDEX regressions_of_run ON regressions (run);
