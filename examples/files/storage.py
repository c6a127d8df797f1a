"""Contents of files, in the bucket: each under the prefix of its tenant, and never waited for without an end."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from service.aws.tenant import OfTenant
from service.bounded import Bounded
from service.errors import ApiError
from service.log import get_logger
from service.readiness import State

from .errors import STORAGE_DOWN

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

T = TypeVar("T")

log = get_logger(__name__)


class Storage:
    """The bucket, as the caller's tenant may see it: AWS itself refuses another's prefix.

    Args:
        bucket: Its name; None where the deployment has none.
    """

    def __init__(self, bucket: str | None) -> None:
        self._bucket = bucket
        # Threads of its own: a bucket that hangs holds up nothing else. A request that waits here may hold a connection
        # to the database, so that fewer wait than the pool has.
        self._threads = Bounded("files", threads=4, waiting=8, full=STORAGE_DOWN, reason="storage_busy")
        self._state: State = "ok" if bucket else "unavailable"

    async def put(self, aws: OfTenant, file: UUID, content: bytes) -> None:
        """Store a content.

        Args:
            aws: Of the caller's tenant.
            file: Its id.
            content: Its bytes.

        Raises:
            ApiError: FILES_001, SYS_015.
        """
        key = aws.key(f"files/{file}")

        def work(s3: S3Client, bucket: str) -> None:
            s3.put_object(Bucket=bucket, Key=key, Body=content, **aws.at_rest)

        await self._with_bucket(aws, work)

    async def get(self, aws: OfTenant, file: UUID) -> bytes:
        """Fetch a content.

        Args:
            aws: Of the caller's tenant.
            file: Its id.

        Raises:
            ApiError: FILES_001, SYS_015.
        """
        key = aws.key(f"files/{file}")

        def work(s3: S3Client, bucket: str) -> bytes:
            return s3.get_object(Bucket=bucket, Key=key)["Body"].read()

        return await self._with_bucket(aws, work)

    async def state(self) -> State:
        """For readiness: whether the last call went well. Asks nobody, because the service may not list the bucket."""
        return self._state

    def close(self) -> None:
        """Take no more."""
        self._threads.close()

    async def _with_bucket(self, aws: OfTenant, work: Callable[[S3Client, str], T]) -> T:
        bucket = self._bucket
        if bucket is None:
            raise ApiError(STORAGE_DOWN, "no_bucket")

        def call() -> T:
            client: Any = aws.client("s3")  # blocks at its first use
            return work(client, bucket)

        try:
            found = await self._threads.run(call)
        except ApiError:
            raise
        except Exception as failure:  # botocore has no common base for what can go wrong on the way
            self._state = "unavailable"
            log.warning("storage_call_failed", exc_info=failure)
            raise ApiError(STORAGE_DOWN, "storage") from failure
        self._state = "ok"
        return found
