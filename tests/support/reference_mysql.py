"""The reference over a private MariaDB, with the tables of Notary's own MySQL migrations."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from .mariadb import FAST_SETTINGS, MariaServer
from .reference import Reference

SERVER_TABLES = """
CREATE TABLE tuf_files (id int(11) NOT NULL AUTO_INCREMENT, created_at timestamp NULL DEFAULT NULL,
    updated_at timestamp NULL DEFAULT NULL, deleted_at timestamp NULL DEFAULT NULL,
    gun varchar(255) NOT NULL, role varchar(255) NOT NULL, version int(11) NOT NULL, data longblob NOT NULL,
    sha256 char(64) DEFAULT NULL, PRIMARY KEY (id), UNIQUE KEY gun (gun, role, version), KEY sha256 (sha256)
) ENGINE=InnoDB DEFAULT CHARSET=utf8;
"""
FEED_TABLES = """
CREATE TABLE change_category (category varchar(20) NOT NULL, PRIMARY KEY (category)) ENGINE=InnoDB DEFAULT CHARSET=utf8;
INSERT INTO change_category VALUES ('update'), ('deletion');
CREATE TABLE changefeed (id int(11) NOT NULL AUTO_INCREMENT, created_at timestamp DEFAULT CURRENT_TIMESTAMP,
    gun varchar(255) NOT NULL, version int(11) NOT NULL, sha256 char(64) DEFAULT NULL,
    category varchar(20) NOT NULL DEFAULT 'update', PRIMARY KEY (id), KEY idx_changefeed_gun (gun),
    FOREIGN KEY (category) REFERENCES change_category (category)
) ENGINE=InnoDB DEFAULT CHARSET=utf8;
CREATE TABLE schema_migrations (version bigint NOT NULL, dirty tinyint(1) NOT NULL, PRIMARY KEY (version));
INSERT INTO schema_migrations VALUES (5, 0);
"""
SIGNER_TABLES = """
CREATE TABLE private_keys (id int(11) NOT NULL AUTO_INCREMENT, created_at timestamp NULL DEFAULT NULL,
    updated_at timestamp NULL DEFAULT NULL, deleted_at timestamp NULL DEFAULT NULL, key_id varchar(255) NOT NULL,
    encryption_alg varchar(255) NOT NULL, keywrap_alg varchar(255) NOT NULL, algorithm varchar(50) NOT NULL,
    passphrase_alias varchar(50) NOT NULL, public blob NOT NULL, private blob NOT NULL,
    gun varchar(255) NOT NULL, role varchar(255) NOT NULL, last_used timestamp NULL DEFAULT NULL,
    PRIMARY KEY (id), UNIQUE KEY key_id (key_id), UNIQUE KEY key_id_2 (key_id, algorithm)
) ENGINE=InnoDB DEFAULT CHARSET=utf8;
"""


class MysqlReference(Reference):
    """As `Reference`; its PostgreSQL is never made.

    Attributes:
        mariadb: the server that both databases are on.
    """

    def __init__(self, folder: Path, *, settings: Mapping[str, str] = FAST_SETTINGS) -> None:
        """`settings` are MariaDB's."""
        super().__init__(folder)
        self.mariadb = MariaServer(folder / "mariadb", settings=settings)

    def storage(self, database: str) -> dict[str, str]:
        """See `Reference.storage`."""
        return {"backend": "mysql", "db_url": self.mariadb.url(database)}

    def create_database(self, name: str) -> str:
        """See `Reference.create_database`."""
        return self.mariadb.create_database(name)

    def start_database(self) -> None:
        """See `Reference.start_database`."""
        self.folder.chmod(0o711)  # MariaDB runs as a user of its own, and must reach its directory
        self.mariadb.start()
        for database, tables in (
            ("notaryserver", SERVER_TABLES + FEED_TABLES),
            ("notarysigner", SIGNER_TABLES),
        ):
            self.mariadb.create_database(database)
            self.mariadb.sql(tables, database)

    def stop_database(self) -> None:
        """See `Reference.stop_database`."""
        self.mariadb.close()
