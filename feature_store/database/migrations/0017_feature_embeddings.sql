-- The newest embedding of each entity, by feature: what similarity search reads. Without one the newest row has none.
CREATE TABLE feature_embeddings (
  view text NOT NULL,
  version integer NOT NULL,
  feature text NOT NULL,
  entity_key text NOT NULL,
  event_time timestamptz NOT NULL,
  computed_at timestamptz NOT NULL,
  embedding real[],
  PRIMARY KEY (view, version, feature, entity_key)
);
CREATE INDEX feature_embeddings_by_entity ON feature_embeddings (entity_key);
