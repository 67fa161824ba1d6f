-- What the version with the first migration alone wrote; COMMIT stands for the hash of the commit in force.
INSERT INTO settings VALUES ('epoch', '7c1e5f0a-0000-4000-8000-000000000001');
INSERT INTO syncs VALUES
  (1, '00000000000000000000000000000000000000aa', 'Alice <alice@example.org>', 'a mistake', 1790000000000000,
   1790000001000000, 1790000002000000, 'rejected', '1 error found; nothing was changed', 0, 0, 0, 1),
  (2, 'COMMIT', 'Alice <alice@example.org>', 'everything', 1790000010000000,
   1790000011000000, 1790000012000000, 'applied', '3 added, 0 changed, 0 removed', 3, 0, 0, 0);
INSERT INTO findings VALUES (1, 0, 'unknown-node', 'error', 'node `london-1` not found', 'testbed.yaml', 14, 11, 14, 19, '');
INSERT INTO changes VALUES
  (2, 0, 'User', 'alice', 'added', '', '{"spec":{"keys":["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHIPqHWSl2mYebqTlJaM4gfxWMlz1X0g5a91pMIaPf3i alice"],"role":"admin","team":"surrey"}}');
INSERT INTO users VALUES
  ('alice', '{"team":"surrey","role":"admin","keys":["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHIPqHWSl2mYebqTlJaM4gfxWMlz1X0g5a91pMIaPf3i alice"]}', 2, NULL),
  ('mallory', '{"role":"user","keys":[]}', 2, 1790000012000000);
INSERT INTO nodes VALUES
  ('london-01', '{"country":"gb"}', '{"owner":"alice","role":"standard","limits":{},"guard":"5s","cordoned":false}', 2, NULL, 7);
INSERT INTO heartbeats VALUES
  ('london-01', 1790000020000000, '0.1.0', 'b00t', '203.0.113.7', 'docker 28.2.2', '7c1e5f0a-0000-4000-8000-000000000001', 7);
INSERT INTO jobs VALUES
  ('ping', 'alice', '{"owner":"alice","nodes":["london-01"],"schedule":{"cron":"0 * * * *","timezone":"UTC","start":"2030-01-01T00:00:00Z","end":"2031-01-01T00:00:00Z","length":"1m","startDeadline":"30s","onMissed":"skip"},"exclusive":false,"container":{"image":"example.org/probe:1","network":"bridge","resources":{}},"artifacts":{"path":"/artifacts"}}',
   'COMMIT', 2, 1790000012000000, 1790000012000000, NULL);
INSERT INTO assignments VALUES ('ping', 'london-01', 'client', 1790000012000000, NULL);
INSERT INTO runs VALUES
  ('11111111-2222-5333-8444-555555555555', 'client', 'ping', 'london-01', 'alice', 1790000400000000, 'COMPLETED', 'exit_code', '',
   1790000401000000, 1790000402000000, 0, 'sha256:0123', 'COMMIT');
INSERT INTO run_events VALUES
  ('11111111-2222-5333-8444-555555555555', 'client', 1, 'RUNNING', NULL, '', 1790000401000000, NULL, 'sha256:0123', 'COMMIT'),
  ('11111111-2222-5333-8444-555555555555', 'client', 2, 'COMPLETED', 'exit_code', '', 1790000402000000, 0, '', 'COMMIT');
INSERT INTO uploads VALUES
  ('66666666-7777-4888-8999-aaaaaaaaaaaa', '11111111-2222-5333-8444-555555555555', 'client', 'out.json', 10, '00', 1790000403000000);
INSERT INTO artifacts VALUES
  ('11111111-2222-5333-8444-555555555555', 'client', 'run.log', 10, '00', 'file:///store', 'ping/run.log', 1790000404000000);
