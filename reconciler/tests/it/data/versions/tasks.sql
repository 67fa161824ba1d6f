-- `survey` in London wants its server in Paris, at the instant that it was moved to. Its client may be silent for ten years.
INSERT INTO tasks (run_id, job, client, server, scheduled_at, ends_at, ttl, state, message, client_seen, server_seen, version)
VALUES
  ('b9eed6ec-efee-5cfc-8d52-5423a9f71dfa', 'survey', 'london-01', 'paris-01', 1893501000000000, 1893501600000000,
   315360000000000, 'ready', '', 1790000070000000, 1790000070000000, 2);
