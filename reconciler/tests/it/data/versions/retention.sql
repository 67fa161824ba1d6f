-- What the version with the migrations up to `retention` wrote, for either engine. COMMIT stands for the hash of the commit in
-- force, KEY_OF_... for public keys.
INSERT INTO settings (name, value) VALUES
  ('epoch', '7c1e5f0a-0000-4000-8000-000000000001'),
  ('config', '{"artifacts":{"retention":"3650d"},"heartbeat":{"interval":"30s","staleAfter":"2m","offlineAfter":"10m"},"nodes":{"offlineFor":"7d"},"network":{"docker":"almanac"},"satellites":{"tle":"http://127.0.0.1:1/tle"},"schedule":{"maxWindow":"730d","minLength":"10s","maxLength":"1d"},"commits":{"requireSigned":false},"prune":{"maxFraction":0.5}}');
-- Numbers are given by the database: the first sync is 1, the second 2.
INSERT INTO syncs (commit_id, author, subject, committed_at, started_at, ended_at, outcome, message, added, changed, removed,
                   findings, tree_id, signer, cause, approved_by) VALUES
  ('00000000000000000000000000000000000000aa', 'Alice <alice@example.org>', 'a mistake', 1790000000000000,
   1790000001000000, 1790000002000000, 'rejected', '1 error found; nothing was changed', 0, 0, 0, 1, '', '', 'commit', ''),
  ('COMMIT', 'Alice <alice@example.org>', 'everything', 1790000010000000,
   1790000011000000, 1790000012000000, 'applied', '6 added, 1 changed, 0 removed', 6, 1, 0, 0, '', 'alice', 'commit', '');
INSERT INTO findings (sync_id, position, rule, severity, message, file, line, col, end_line, end_col, help) VALUES
  (1, 0, 'unknown-node', 'error', 'node `london-1` not found', 'testbed.yaml', 14, 11, 14, 19, '');
INSERT INTO changes (sync_id, position, kind, name, action, before_json, after_json) VALUES
  (2, 0, 'User', 'bob', 'added', '', '{"spec":{"keys":["KEY_OF_bob"],"role":"user","team":"surrey"}}');
INSERT INTO actions (at, actor, action, commit_id, reason, until, sync_id) VALUES
  (1790000005000000, 'alice', 'suspend', '', 'a call', 1790000006000000, NULL);
INSERT INTO users (name, spec, sync_id, deleted_at) VALUES
  ('alice', '{"team":"surrey","role":"admin","keys":["KEY_OF_alice"]}', 2, NULL),
  ('bob', '{"team":"surrey","role":"user","keys":["KEY_OF_bob"]}', 2, NULL),
  ('mallory', '{"role":"user","keys":[]}', 2, 1790000012000000);
INSERT INTO nodes (name, labels, spec, sync_id, deleted_at, generation, generation_at, declared_at) VALUES
  ('london-01', '{"city":"london"}', '{"owner":"alice","role":"standard","coordinates":{"latitude":51.5074,"longitude":-0.1278,"elevation":0.0},"keys":["KEY_OF_london-01"],"limits":{},"guard":"5s","cordoned":false,"telemetry":{"satellites":{}}}',
   2, NULL, 7, 1790000012000000, 1790000012000000),
  ('paris-01', '{"city":"paris"}', '{"owner":"alice","role":"standard","keys":["KEY_OF_paris-01"],"limits":{},"guard":"5s","cordoned":false}',
   2, NULL, 3, 1790000012000000, 1790000012000000);
INSERT INTO heartbeats (node, last_seen, agent_version, boot_id, address, engine, held_epoch, held_generation, online_since,
                        clock, host, outlook) VALUES
  ('london-01', 1790000020000000, '0.1.0', 'b00t', '203.0.113.7', 'docker 28.2.2', '7c1e5f0a-0000-4000-8000-000000000001', 7,
   1790000015000000, '', '', '');
INSERT INTO jobs (name, owner, spec, commit_id, sync_id, created_at, updated_at, deleted_at) VALUES
  ('ping', 'bob', '{"owner":"bob","nodes":["london-01"],"schedule":{"cron":"0 * * * *","timezone":"UTC","start":"2030-01-01T00:00:00Z","end":"2031-01-01T00:00:00Z","length":"1m","startDeadline":"30s","onMissed":"skip"},"exclusive":false,"container":{"image":"example.org/probe:1","network":"bridge","resources":{}},"artifacts":{"path":"/artifacts"}}',
   'COMMIT', 2, 1790000012000000, 1790000012000000, NULL),
  ('survey', 'bob', '{"owner":"bob","nodes":["london-01"],"schedule":{"at":"2030-01-01T12:00:00Z","timezone":"UTC","length":"10m","startDeadline":"30s","onMissed":"skip"},"exclusive":true,"container":{"image":"example.org/probe:1","network":"bridge","resources":{}},"server":{"node":"paris-01","container":{"image":"example.org/server:1","network":"bridge","resources":{},"ports":["5201/tcp"]},"ready":{"tcp":5201,"timeout":"1m"}},"artifacts":{"path":"/artifacts"}}',
   'COMMIT', 2, 1790000012000000, 1790000012000000, NULL);
INSERT INTO assignments (job, node, role, since, removed_at) VALUES
  ('ping', 'london-01', 'client', 1790000012000000, NULL),
  ('survey', 'london-01', 'client', 1790000012000000, NULL),
  ('survey', 'paris-01', 'server', 1790000012000000, NULL),
  ('ping', 'paris-01', 'client', 1790000000000000, 1790000012000000);
-- Of `ping` in London, at 05:00 and at 06:00. The second one was cancelled, and its node has not heard of it.
INSERT INTO runs (id, role, job, node, owner, scheduled_at, phase, reason, message, started_at, ended_at, exit_code,
                  image_digest, commit_id) VALUES
  ('1293245b-b660-57ac-90e6-e3aec2cc1b81', 'client', 'ping', 'london-01', 'bob', 1893474000000000, 'COMPLETED', 'exit_code', '',
   1893474001000000, 1893474002000000, 0, 'sha256:0123', 'COMMIT'),
  ('6db75c2e-c1dd-54c9-845b-338d292bbde9', 'client', 'ping', 'london-01', 'bob', 1893477600000000, 'RUNNING', NULL, '',
   1893477601000000, NULL, NULL, 'sha256:0123', 'COMMIT');
INSERT INTO run_events (run_id, role, sequence, phase, reason, message, at, exit_code, image_digest, commit_id) VALUES
  ('1293245b-b660-57ac-90e6-e3aec2cc1b81', 'client', 1, 'RUNNING', NULL, '', 1893474001000000, NULL, 'sha256:0123', 'COMMIT'),
  ('1293245b-b660-57ac-90e6-e3aec2cc1b81', 'client', 2, 'COMPLETED', 'exit_code', '', 1893474002000000, 0, '', 'COMMIT'),
  ('6db75c2e-c1dd-54c9-845b-338d292bbde9', 'client', 1, 'RUNNING', NULL, '', 1893477601000000, NULL, 'sha256:0123', 'COMMIT');
INSERT INTO artifacts (run_id, role, name, size, sha256, store, path, stored_at, job, expired_at, kept_for, removed_at) VALUES
  ('1293245b-b660-57ac-90e6-e3aec2cc1b81', 'client', 'run.log', 10, '00', 'file:///store', 'ping/run.log', 1893474004000000,
   'ping', NULL, NULL, NULL),
  ('1293245b-b660-57ac-90e6-e3aec2cc1b81', 'client', 'old.csv', 10, '00', 'file:///store', 'ping/old.csv', 1790000004000000,
   'ping', 1790000004000001, 60, 1790000004000002);
INSERT INTO uploads (id, run_id, role, name, size, sha256, active_at, store, path, multipart) VALUES
  ('66666666-7777-4888-8999-aaaaaaaaaaaa', '1293245b-b660-57ac-90e6-e3aec2cc1b81', 'client', 'out.json', 10, '00',
   1893474003000000, 's3://results', 'ping/out.json', 'a-number');
INSERT INTO upload_parts (upload_id, number, start, length, etag) VALUES
  ('66666666-7777-4888-8999-aaaaaaaaaaaa', 1, 0, 5, '"0"');
INSERT INTO kept_runs (run_id, actor, reason, since) VALUES
  ('1293245b-b660-57ac-90e6-e3aec2cc1b81', 'bob', 'for a paper', 1790000100000000);
INSERT INTO cordons (node, actor, reason, since, until, stop_at) VALUES
  ('paris-01', 'alice', 'a new dish', 1790000030000000, 4102444800000000, NULL);
INSERT INTO cancellations (run_id, node, actor, reason, at) VALUES
  ('6db75c2e-c1dd-54c9-845b-338d292bbde9', 'london-01', 'bob', 'not needed', 1790000040000000);
