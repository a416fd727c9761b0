-- Files that cases left for people to look at.

CREATE TABLE artifacts (
    run        TEXT NOT NULL REFERENCES runs (id),
    case_name  TEXT NOT NULL CONSTRAINT case_is_named CHECK (case_name <> ''),
    name       TEXT NOT NULL CONSTRAINT artifact_is_named CHECK (name <> '' AND name NOT GLOB '*[^a-z0-9_.-]*'),
    media_type TEXT NOT NULL CONSTRAINT artifact_has_a_type CHECK (media_type <> ''),
    size       INTEGER NOT NULL CONSTRAINT size_is_not_negative CHECK (size >= 0),
    sha256     TEXT NOT NULL CONSTRAINT sha256_has_64_digits CHECK (length(sha256) = 64),
    path       TEXT NOT NULL CONSTRAINT artifact_has_a_path CHECK (path <> ''),
    PRIMARY KEY (run, case_name, name)
) STRICT, WITHOUT ROWID;
