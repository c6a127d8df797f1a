"""What becomes of something stateful when its stack, or its row of a stack, goes."""

from __future__ import annotations

from aws_cdk import RemovalPolicy


def removal(retain: bool) -> RemovalPolicy:
    """The policy of a resource whose loss would be a loss of data.

    Args:
        retain: Whether it survives its stack. It does not survive a creation that is rolled back: what is left of one
            holds nothing yet, and its name would stand in the way of the next try.
    """
    return RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE if retain else RemovalPolicy.DESTROY
