"""An adopter builds on the template, the template goes on, and the adopter takes the newer version over.

Both sides change what both may change; the three git commands and those after them are those of docs/UPGRADING.md.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from infra.deploy.ownership import edited
from tests.support.database.databases import MASTER, MASTER_PASSWORD, Database, Databases, migration_environment
from tests.upgrade.checkouts import Checkout, clone, template

NEWER = "v9.9.9"
# The packages of this run instead of a second environment with the same: the code is that of the folder it runs in.
PYTHON = (sys.executable,)
SIGNALBOX = (*PYTHON, "-m", "infra.cli.main")
# What says of the merged product that it is whole: its documents, its image, its core, the adopter's own.
CHOSEN = (
    "tests/infra/test_documents.py",
    "tests/image/test_files.py",
    "tests/service/settings/test_settings.py",
    "tests/visits",
)

MIGRATION = '''\
"""Visits of a tenant."""

import sqlalchemy as sa
from alembic import op

from service.database.rls import SCHEMA, isolate, tenant_column

revision = "visits01"
down_revision = None
branch_labels = ("visits",)
depends_on = "0001"


def upgrade() -> None:
    columns = (tenant_column(), sa.Column("id", sa.Uuid), sa.PrimaryKeyConstraint("tenant_id", "id"))
    op.create_table("visit", *columns, schema=SCHEMA)
    isolate("visit")


def downgrade() -> None:
    op.drop_table("visit", schema=SCHEMA)
'''

FEATURE = '''\
"""What this folder brings to the application."""

from pathlib import Path
from typing import Final

from service.errors import Error
from service.feature import Feature

NO_VISIT: Final = Error("VISIT_001", 404, "No such visit", "The visit does not exist", "Look for it in the list.")
VISITS: Final = Feature(name="visits", errors=(NO_VISIT,), migrations=Path(__file__).parent / "migrations")
'''

TEST = """\
from service.feature import all_errors, checked
from service.product import FEATURES, TITLE


def test_the_product_is_ours() -> None:
    assert TITLE == "Visits"
    assert {"VISIT_001", "SYS_099"} <= all_errors(checked(FEATURES)).keys()
"""

TEMPLATE_MIGRATION = '''\
"""What a newer template needs."""

from alembic import op

revision = "0099"
down_revision = "{newest}"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("create schema newer")


def downgrade() -> None:
    op.execute("drop schema newer")
'''


def build_on(product: Checkout) -> None:
    """What an adopter does: names, stages, a feature with a table, a package, documents."""
    product.edit("service/product.py", 'TITLE: Final = "Signalbox"', 'TITLE: Final = "Visits"')
    product.edit("infra/product.py", "budget_usd=1000", "budget_usd=1234")
    product.write("README.md", "# Visits\n")
    product.write("service/visits/__init__.py", '"""Visits of patients."""\n')
    product.write("service/visits/migrations/visits01_visit.py", MIGRATION)
    product.write("service/visits/feature.py", FEATURE)
    product.edit("service/product.py", "\nNAME:", "from service.visits.feature import VISITS\n\nNAME:")
    product.edit("service/product.py", "    HEALTH,\n", "    HEALTH,\n    VISITS,\n")
    product.write("tests/visits/test_visits.py", TEST)
    # A package that is locked already as another's: nothing has to be downloaded for this test.
    product.run("uv", "add", "--no-sync", "--quiet", "--package", "product", "packaging")
    product.run(*SIGNALBOX, "docs")
    product.commit("Make it ours")


def go_on(newer: Checkout) -> None:
    """What a newer template may change: core, migrations, requirements, documents, examples in an adopter's files."""
    newest = sorted(path.name[:4] for path in (newer.root / "migrations/versions").glob("0*.py"))[-1]
    newer.write("migrations/versions/0099_newer.py", TEMPLATE_MIGRATION.format(newest=newest))
    newer.edit(
        "service/errors.py",
        "\nNOT_FOUND = ",
        '\nNEWER = Error("SYS_099", 503, "Newer", "Newer", "Wait.")\nNOT_FOUND = ',
    )
    newer.append("docs/ERROR_CODES.md", "| `SYS_099` | 503 | Newer | Newer | Wait. |\n")
    for name in ("infra/docs/tables.py", "docs/reference/stages.md"):
        newer.edit(name, "budget, US dollars a month", "budget, dollars a month")
    newer.edit("infra/product.py", "budget_usd=1000", "budget_usd=2000")
    newer.edit("service/product.py", 'TITLE: Final = "Signalbox"', 'TITLE: Final = "Signalbox 9"')
    newer.edit("README.md", "# Signalbox", "# Signalbox 9")
    newer.edit("pyproject.toml", '"structlog>=26.1"', '"structlog>=26.1,<99"')
    newer.edit("docs/DEPLOYMENT.md", "## Limits", "## Limits, as of today")
    newer.edit("CHANGELOG.md", "## Unreleased", "## Unreleased\n\n## 9.9.9")
    project = (newer.root / "pyproject.toml").read_text()
    newer.write("pyproject.toml", re.sub(r'(?m)^version = ".*"$', 'version = "9.9.9"', project))
    newer.run("uv", "lock", "--quiet")
    newer.commit("Release 9.9.9")
    newer.run("git", "tag", "--annotate", NEWER, "--message", NEWER)


def migrate(product: Checkout, database: Database) -> set[str]:
    """Every line of migrations of the product, as it brings them."""
    product.run(*PYTHON, "-m", "migrations", "upgrade", **migration_environment(database))
    rows = database.run("select version_num from migrations.alembic_version", user=MASTER, password=MASTER_PASSWORD)
    return {row[0] for row in rows}


@pytest.mark.long
def test_a_newer_template_merges_over_what_was_built_on_an_older_one(tmp_path: Path, databases: Databases) -> None:
    source = template(tmp_path / "template")
    product = clone(source, tmp_path / "product")
    build_on(product)
    database = databases.empty()
    before = migrate(product, database)
    assert "visits01" in before
    go_on(source)

    product.run("git", "remote", "remove", "template")
    product.run("git", "remote", "add", "template", str(source.root))
    product.run("git", "fetch", "--quiet", "template", "--tags")
    product.run("git", "merge", "--no-edit", NEWER)

    product.run("uv", "lock", "--quiet")
    product.run(*SIGNALBOX, "docs")
    product.commit("Make the documents and the lock anew")

    assert edited(product.root) == []
    stages = (product.root / "docs/reference/stages.md").read_text()
    assert "budget, dollars a month" in stages, "the template's change"
    assert "1234" in stages, "the adopter's change"
    codes = (product.root / "docs/ERROR_CODES.md").read_text()
    assert "VISIT_001" in codes
    assert "SYS_099" in codes
    assert (product.root / "README.md").read_text() == "# Visits\n"
    image = ("--locked", "--no-default-groups", "--group", "product", "--no-hashes", "--no-emit-project")
    assert re.search(r"(?m)^packaging==.*\n.*# via.*(\n.*)?product", product.run("uv", "export", *image))

    after = migrate(product, database)
    assert {"visits01", "0099"} <= after
    found = database.as_superuser("select to_regclass('app.visit'), to_regnamespace('newer')")
    assert None not in tuple(found[0])
    product.run(*PYTHON, "-m", "pytest", "-n0", "-q", *CHOSEN)
