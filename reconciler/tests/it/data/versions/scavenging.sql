-- `survey` in London had to make room at 12:00 and was moved to 12:30.
INSERT INTO scavengings (node, actor, reason, since, until) VALUES
  ('london-01', 'alice', 'a call', 1790000050000000, 4102444800000000);
INSERT INTO runs (id, role, job, node, owner, scheduled_at, phase, reason, message, started_at, ended_at, exit_code,
                  image_digest, commit_id, moved_to) VALUES
  ('1545df2f-a622-58fa-9528-d9162b26ab7a', 'client', 'survey', 'london-01', 'bob', 1893499200000000, 'RESCHEDULED', 'scavenger',
   'alice wants the node''s link', NULL, 1790000060000000, NULL, '', 'COMMIT', 1893501000000000);
INSERT INTO run_events (run_id, role, sequence, phase, reason, message, at, exit_code, image_digest, commit_id) VALUES
  ('1545df2f-a622-58fa-9528-d9162b26ab7a', 'client', 1, 'RESCHEDULED', 'scavenger', 'alice wants the node''s link',
   1790000060000000, NULL, '', 'COMMIT');
INSERT INTO reservations (run_id, moved_run_id, job, node, at, moved_to, made_at, released_at) VALUES
  ('00000000-0000-5000-8000-000000000000', '00000000-0000-5000-8000-000000000001', 'gone', 'london-01', 1790000000000000,
   1790000010000000, 1790000000000000, 1790000020000000),
  ('b9eed6ec-efee-5cfc-8d52-5423a9f71dfa', '1545df2f-a622-58fa-9528-d9162b26ab7a', 'survey', 'london-01', 1893499200000000,
   1893501000000000, 1790000060000000, NULL);
