"""The AWS side: the CDK app, its stacks and constructs, and the gates that read finished templates."""

import os

from infra.shell.tools import node

# aws_cdk starts a Node when it is imported: the one that is pinned, and not whichever stands on PATH.
os.environ.setdefault("JSII_NODE", node())
