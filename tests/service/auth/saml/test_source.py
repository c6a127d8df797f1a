"""What becomes of a provider's metadata over time: what the log says of it, and until when it is relied on."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from structlog.testing import capture_logs

from service.auth import errors
from service.auth.providers.causes import cause_of
from service.auth.saml import source as sources
from service.auth.saml.metadata import MetadataError
from service.auth.saml.source import COOLDOWN, HARD_AGE, MetadataSource, warn_of_expiry
from service.auth.saml.workers import Workers
from service.errors import ApiError
from tests.support.clock import Clock
from tests.support.saml.metadata import MD, MetadataHost, document
from tests.support.saml.mint import ISSUER
from tests.support.saml.provider import key_pair

pytestmark = pytest.mark.anyio
NOW = datetime.now(UTC).replace(microsecond=0)


class Setting:
    """A source that reads a file, and a clock of its own."""

    def __init__(self, folder: Path, origin: str | Path | None = None, client: httpx.AsyncClient | None = None) -> None:
        self.file, self.clock = folder / "metadata.xml", Clock()
        self.source = MetadataSource(
            "x",
            ISSUER,
            origin or self.file,
            None,
            client=cast(httpx.AsyncClient, client),
            workers=Workers(),
            clock=self.clock,
            now=lambda: NOW + timedelta(seconds=self.clock.now - 1000),
        )

    async def logged(self, raw: bytes | None = None) -> list[dict[str, Any]]:
        """What a fetch says."""
        if raw is not None:
            self.file.write_bytes(raw)
        with capture_logs() as logs:
            await self.source.refresh()
        return [dict(entry) for entry in logs]


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    return Setting(tmp_path)


def until(seconds: float) -> bytes:
    return document(more=f'validUntil="{(NOW + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")}"')


async def test_it_is_relied_on_until_its_end_and_what_clocks_may_differ(setting: Setting) -> None:
    await setting.logged(until(100))
    setting.clock.now += 159
    assert (setting.source.ready, setting.source.state) == (True, "ok")
    setting.clock.now += 1
    assert (setting.source.ready, setting.source.state) == (False, "unavailable")
    await setting.logged(until(500))
    assert setting.source.ready
    setting.clock.now += 1000
    with pytest.raises(ApiError) as refused:
        await setting.source.current()
    assert (refused.value.error, refused.value.reason) == (errors.KEYS_UNUSABLE, "valid_until")


async def test_what_cannot_be_used_is_a_line_in_the_log_and_has_a_remedy(setting: Setting) -> None:
    line = {"event": "saml_metadata_unusable", "log_level": "warning", "provider": "x"}
    assert await setting.logged() == [{**line, "reason": "FileNotFoundError"}]
    told = f"METADATA_FILE is {setting.file}, and no file can be read there: see the path inside the container"
    assert (setting.source.failure, setting.source.remedy) == ("FileNotFoundError", told)
    with pytest.raises(ApiError) as refused:
        await setting.source.current()
    assert (refused.value.error, refused.value.reason) == (errors.KEYS_DOWN, "FileNotFoundError")
    assert await setting.logged(b"<html/>") == [{**line, "reason": "root"}]
    assert (setting.source.failure, setting.source.remedy) == ("root", MetadataError("root").told)
    with pytest.raises(ApiError) as refused:
        await setting.source.current()
    assert (refused.value.error, refused.value.reason) == (errors.KEYS_UNUSABLE, "root")


async def test_what_an_address_answers_is_told_too(tmp_path: Path, client: httpx.AsyncClient) -> None:
    line = {"event": "saml_metadata_unusable", "log_level": "warning", "provider": "x"}
    with MetadataHost() as host:
        host.status = 404
        here = Setting(tmp_path, host.metadata_url, client)
        (entry,) = await here.logged()
        assert (entry.pop("remedy"), entry) == (here.source.remedy, {**line, "reason": "status_404"})
        host.status = 200
        assert await here.logged() == []
        assert (here.source.state, here.source.failure) == ("ok", None)


async def test_of_a_failure_without_a_name_the_kind_is_told(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    for failure, remedy in ((TimeoutError(), cause_of("timeout")), (RuntimeError("secret"), "")):

        def failing(*_: object, failure: Exception = failure) -> None:
            raise failure

        monkeypatch.setattr(sources, "read_idp", failing)
        (entry,) = await setting.logged(document())
        assert entry["reason"] == setting.source.failure == type(failure).__name__
        assert setting.source.remedy == remedy
        assert "secret" not in str(entry)


async def test_other_certificates_are_a_line_in_the_log(setting: Setting) -> None:
    assert await setting.logged(document()) == []
    assert await setting.logged(document()) == []
    line = {"event": "saml_certificates_changed", "log_level": "info", "provider": "x"}
    assert await setting.logged(document(key_pair("idp"), key_pair("idp-next"))) == [{**line, "certificates": 2}]


async def test_a_certificate_that_ends_soon_is_a_line_in_the_log_and_a_state(setting: Setting) -> None:
    (entry,) = await setting.logged(document(key_pair("soon", days=29)))
    assert entry.pop("days") in (28, 29)
    assert entry == {
        "event": "saml_certificate_expires",
        "log_level": "warning",
        "provider": "x",
        "side": "provider",
    }
    assert setting.source.state == "expiring"


@pytest.mark.parametrize(("seconds", "days"), [(1, None), (0, 30), (-1, 29)])
def test_soon_is_thirty_days(seconds: int, days: int | None) -> None:
    with capture_logs() as logs:
        warn_of_expiry("x", "ours", NOW + timedelta(days=30, seconds=seconds), NOW)
    told = [(entry["event"], entry["provider"], entry["side"], entry["days"]) for entry in logs]
    assert told == ([] if days is None else [("saml_certificate_expires", "x", "ours", days)])


async def test_the_last_good_one_serves_to_its_hard_age(setting: Setting) -> None:
    await setting.logged(document())
    await setting.logged(b"")
    setting.clock.now += HARD_AGE - 1
    assert await setting.source.current()
    assert setting.source.state == "stale"
    setting.clock.now += 1
    assert setting.source.state == "unavailable"


async def test_an_unknown_signature_causes_four_fetches_at_once_and_then_one_in_a_while(setting: Setting) -> None:
    await setting.logged(document())
    known = await setting.source.current()
    fetches = 0

    async def asked() -> bool:
        nonlocal fetches
        with capture_logs() as logs:
            setting.file.write_bytes(b"")  # so that each fetch is a line in the log
            changed = await setting.source.changed(known)
        fetches += len(logs)
        return changed

    for _ in range(6):
        assert not await asked()
    assert fetches == 4
    setting.clock.now += 4 * COOLDOWN - 1
    assert not await asked()
    assert fetches == 4
    setting.clock.now += 1
    assert not await asked()
    assert fetches == 5
    setting.file.write_bytes(document(key_pair("idp-next")))
    await setting.source.refresh()
    assert await setting.source.changed(known)
    assert await asked()
    assert fetches == 5  # who is behind what is known causes no fetch


async def test_while_a_fetch_is_under_way_others_wait_for_it(setting: Setting) -> None:
    await setting.logged(document())
    known = await setting.source.current()
    setting.file.write_bytes(document(key_pair("idp-next")))
    assert await asyncio.gather(*(setting.source.changed(known) for _ in range(8))) == [True] * 8


async def test_a_file_that_is_large_is_a_federations(setting: Setting) -> None:
    """To the byte: one provider's document is read as a whole."""
    raw = document()
    assert await setting.logged(raw + b" " * (1_048_576 - len(raw))) == []
    (entry,) = await setting.logged(raw + b" " * (1_048_577 - len(raw)))
    assert entry["reason"] == "bytes"
    assert "for one entity" in setting.source.remedy


def federation(more: str = "") -> bytes:
    remarks = f"<!--{'x' * 250_000}-->" * 5
    inner = document().decode().replace('ID="_m"', "")
    return f'<EntitiesDescriptor xmlns="{MD}" {more}>{remarks}{inner}</EntitiesDescriptor>'.encode()


async def test_a_federation_counts_when_it_has_come_to_its_end_and_until_it_ends(setting: Setting) -> None:
    assert await setting.logged(federation()) == []
    assert setting.source.state == "ok"
    (entry,) = await setting.logged(federation()[:-5])
    assert entry["reason"] == "xml"
    (entry,) = await setting.logged(federation('validUntil="2020-01-01T00:00:00Z"'))
    assert entry["reason"] == "valid_until"


async def test_metadata_is_asked_for_as_what_it_is(tmp_path: Path, client: httpx.AsyncClient) -> None:
    with MetadataHost() as host:
        assert await Setting(tmp_path, host.metadata_url, client).logged() == []
        assert host.accepted == "application/samlmetadata+xml, application/xml"
