"""Whose a file is: the template's, which a newer one is merged over, or the adopter's.

The table is ``.gitattributes``, so that git goes by the same rule in a merge. A file that the template does not have is
the adopter's without a row.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from infra.shell.failure import Failure
from infra.shell.git import ask

_BRANCH: Final = "template/main"
_CONNECT: Final = "git remote add template ADDRESS"
_FETCH: Final = "git fetch template --tags"
_MERGE: Final = "product"  # the value that .gitattributes gives to what is not the template's


def edited(root: Path) -> list[str]:
    """The template's files that are not as in the version that was merged last.

    Args:
        root: The checkout.

    Returns:
        Their paths; files that were deleted are among them, committed or not.

    Raises:
        Failure: This checkout cannot be compared with its template; the text has the command that helps.
    """
    if "template" not in (ask(root, "remote") or "").splitlines():
        raise Failure(f"no remote named template, so that nothing can be compared: {_CONNECT}; {_FETCH}")
    if ask(root, "rev-parse", "--verify", "--quiet", _BRANCH) is None:
        raise Failure(f"the template was not fetched yet: {_FETCH}")
    merged = ask(root, "merge-base", "HEAD", _BRANCH)
    if merged is None:
        raise Failure("no history in common with the template: see docs/UPGRADING.md, A copy without history")
    # Added files are not asked for: they are the adopter's.
    changed = ask(root, "diff", "-z", "--name-only", "--no-renames", "--diff-filter=a", merged) or ""
    # Three fields for each path, each with a NUL at its end: path, name of the attribute, value.
    fields = (ask(root, "check-attr", "-z", "--stdin", "merge", text=changed) or "").split("\0")
    return sorted(path for path, value in zip(fields[::3], fields[2::3], strict=False) if value != _MERGE)
