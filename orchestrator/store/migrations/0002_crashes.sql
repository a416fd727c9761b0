-- What a crash is, where it is, and its backtrace. What was stored before has none
-- of them: its text says as much.

ALTER TABLE crashes ADD COLUMN kind TEXT NOT NULL DEFAULT ''
    CONSTRAINT kind_is_a_word CHECK (kind IN ('', 'fatal', 'warning', 'lock_order', 'leak', 'memory', 'hang', 'network',
        'shortage', 'hardware', 'boot', 'debugger', 'dump', 'reset', 'program'));
ALTER TABLE crashes ADD COLUMN place TEXT NOT NULL DEFAULT '';
ALTER TABLE crashes ADD COLUMN frames TEXT NOT NULL DEFAULT '[]' CONSTRAINT frames_are_json CHECK (json_valid(frames));

-- All rows of one signature; the key of the row comes with it.
CREATE INDEX crashes_by_signature ON crashes (signature);
