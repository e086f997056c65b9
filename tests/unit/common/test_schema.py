"""The revisions that the start-up check knows are those that alembic knows."""

from __future__ import annotations

from importlib.resources import files

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from notary_common.schema import TREES, Tree, revisions


@pytest.mark.parametrize("tree", TREES)
def test_the_names_of_the_files_are_the_revisions(tree: Tree) -> None:
    """In alembic's order, with one head: the check reads names, because alembic takes longer than the rest of a start."""
    root = files("notary_migrations")
    config = Config()
    config.set_main_option("script_location", str(root))
    config.set_main_option("version_locations", str(root / tree / "versions"))
    config.set_main_option("path_separator", "newline")
    script = ScriptDirectory.from_config(config)
    assert [revision.revision for revision in script.walk_revisions()][::-1] == revisions(tree)
    assert script.get_heads() == revisions(tree)[-1:]
