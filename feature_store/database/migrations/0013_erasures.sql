-- Which entities were erased, and when: by a keyed hash, so that the list names nobody. Events and state of before then are not used again.
CREATE TABLE erasure_secret (
  only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
  secret text NOT NULL
);
INSERT INTO erasure_secret (secret)
SELECT encode(sha256(convert_to(gen_random_uuid()::text || gen_random_uuid()::text, 'UTF8')), 'hex');
CREATE TABLE erasures (
  fingerprint text PRIMARY KEY,
  erased_at timestamptz NOT NULL,
  -- When the feature pipeline had forgotten the entity and its snapshots with it; null before.
  applied_at timestamptz
);
CREATE INDEX erasures_by_time ON erasures (erased_at);
