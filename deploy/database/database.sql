-- A database and a user for each daemon: neither can look into the other's. They come in with their certificates alone.
CREATE ROLE notary_server LOGIN;
CREATE DATABASE notaryserver OWNER notary_server;
REVOKE CONNECT ON DATABASE notaryserver FROM PUBLIC;
CREATE ROLE notary_signer LOGIN;
CREATE DATABASE notarysigner OWNER notary_signer;
REVOKE CONNECT ON DATABASE notarysigner FROM PUBLIC;
