-- Orbits that were fetched by the settings in force, and are not due for long. CONTENT stands for them as they are kept.
INSERT INTO surroundings (source, origin, content, fetched_at, validator, tried_at, again_at, failures, failing_since, problem)
VALUES
  ('orbits', 'fa0da9e20a98089b0b55b99b8e9e3c297e240ec6abd0a5b809c187cbf197d457', CONTENT, 1790000080000000, '{"tag":"\"1\""}',
   1790000080000000, 4102444800000000, 0, NULL, '');
