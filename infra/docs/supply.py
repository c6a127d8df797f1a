"""What the service is made of: floors of known advisories, licences, and the two libraries that need watching.

``tests/docs/test_supply_chain.py`` holds all three against ``uv.lock`` and the code; docs/SUPPLY_CHAIN.md explains.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final

from packaging.version import Version

CHECKED: Final = date(2026, 11, 26)  # when FLOORS was last written down


@dataclass(frozen=True, slots=True)
class Floor:
    """The first version of a package without a known fault.

    Attributes:
        package: Name on PyPI.
        version: Anything below is refused.
        advisory: Its id.
        fault: What an attacker gets out of an older one.
    """

    package: str
    version: str
    advisory: str
    fault: str


FLOORS: Final = (
    Floor("certifi", "2024.7.4", "CVE-2024-39689", "authorities that are no longer trusted"),
    Floor("cryptography", "48.0.1", "GHSA-537c-gmf6-5ccf", "OpenSSL in the wheels"),
    Floor("fastapi", "0.109.1", "CVE-2024-24762", "a form's header costs exponential time"),
    Floor("h11", "0.16.0", "CVE-2025-43859", "chunked bodies that a proxy reads otherwise: request smuggling"),
    Floor("httpx", "0.23.0", "CVE-2021-41945", "an address that is read as another"),
    Floor("idna", "3.7", "CVE-2024-3651", "a name that costs quadratic time"),
    Floor("jinja2", "3.1.6", "CVE-2025-27516", "a way out of the sandbox"),
    Floor("lxml", "4.6.5", "CVE-2021-43818", "scripts that survive cleaning"),
    Floor("mako", "1.2.2", "CVE-2022-40023", "a template that costs exponential time"),
    Floor("orjson", "3.9.15", "CVE-2024-27454", "nested JSON that ends the process"),
    Floor("pyasn1", "0.6.2", "CVE-2026-23490", "an encoded number that takes all memory"),
    Floor("pydantic", "2.4.0", "CVE-2024-3772", "an address that costs quadratic time"),
    Floor("python-jose", "3.4.0", "CVE-2024-33663", "a public key taken for a shared secret: forged tokens"),
    Floor("python-jose", "3.4.0", "CVE-2024-33664", "a compressed token that takes all memory"),
    Floor("python-multipart", "0.0.31", "CVE-2026-53540", "form posts before authentication"),
    Floor("requests", "2.32.4", "CVE-2024-47081", "credentials of .netrc for another host"),
    Floor("starlette", "1.3.1", "CVE-2026-48710", "a Host header that rewrites request.url.path"),
    Floor("starlette", "0.49.1", "CVE-2025-62727", "a Range header that costs quadratic time"),
    Floor("urllib3", "2.6.0", "CVE-2025-66471", "a compressed answer that takes all memory"),
    Floor("uvicorn", "0.11.7", "CVE-2020-7694", "lines of the log that a caller writes"),
)


def below(packages: Iterable[tuple[str, str]]) -> list[str]:
    """Which packages have a known fault.

    Args:
        packages: Names and versions.
    """
    return [
        f"{name} {version} has {floor.advisory} ({floor.fault}): {floor.version} or newer"
        for name, version in packages
        for floor in FLOORS
        if floor.package == name and Version(version) < Version(floor.version)
    ]


# Licences that a package of the image may have, each as SPDX names it.
LICENCES: Final = frozenset(
    {
        *("0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MIT-0", "PSF-2.0"),
        "MPL-2.0",  # of the file, not of what uses it: certifi, orjson
    }
)
# What packages say in words of their own, read by a person.
SAID_OTHERWISE: Final[Mapping[str, str]] = {
    "isodate": "BSD-3-Clause",
    "protobuf": "BSD-3-Clause",
    "python-dateutil": "Apache-2.0 OR BSD-3-Clause",
    "s3transfer": "Apache-2.0",
    "uvloop": "MIT OR Apache-2.0",
}


@dataclass(frozen=True, slots=True)
class Hole:
    """A known fault of a library, and the test that shows our rules close it."""

    what: str
    closed_by: str
    test: str


@dataclass(frozen=True, slots=True)
class Watched:
    """A library that gets few releases and stands where tokens are judged.

    Attributes:
        package: Name on PyPI.
        module: What is imported.
        used: Names that the service imports of it, and no others.
        holes: Known faults.
        replaced: How it would be replaced, and what the seam is.
    """

    package: str
    module: str
    used: frozenset[str]
    holes: tuple[Hole, ...]
    replaced: str


_TOKENS: Final = "tests/service/auth/tokens/test_tokens.py"
_HOSTILE: Final = "tests/service/auth/tokens/test_hostile_headers.py"
_SAML: Final = "tests/service/auth/saml"

WATCHED: Final = (
    Watched(
        "python-jose",
        "jose",
        frozenset({"jose.jwk", "jose.backends.base.Key"}),
        (
            Hole(
                "CVE-2024-33663: a public key accepted as the secret of an HMAC",
                "an algorithm has to be in a list that has no HMAC, and to fit the key's type, before a key is built",
                f"{_TOKENS}::test_wrong_headers",
            ),
            Hole(
                "CVE-2024-33664: a compressed JWE that grows without bound",
                "`jose.jwe` and `jose.jwt` are not imported: service/auth/tokens/unverified.py takes the text apart, "
                "three parts, bounded, and `zip` and `enc` are refused",
                f"{_TOKENS}::test_wrong_headers",
            ),
            Hole(
                "`alg: none`, and an algorithm that the token chooses",
                "the list again; the key's own algorithm decides",
                f"{_TOKENS}::test_forgeries",
            ),
            Hole(
                "`jwk`, `jku`, `x5c` and `crit` in the header are read or passed over",
                "a token with one of them is refused before a key is looked for",
                f"{_TOKENS}::test_wrong_headers",
            ),
            Hole(
                "claims are checked loosely: numbers as text, lists, booleans",
                "claims are judged by service/auth/tokens/claims.py",
                f"{_TOKENS}::test_wrong_claims",
            ),
            Hole(
                "ecdsa (CVE-2024-23342, timing of signatures; no fix is planned) comes with it",
                "signatures are verified and public keys read by cryptography; KMS makes ours",
                "tests/docs/test_supply_chain.py::test_signatures_are_verified_by_cryptography_alone",
            ),
            Hole(
                "a message of the library reaches the answer or the log",
                "every exception becomes one row of the errors",
                f"{_HOSTILE}::test_the_parser_raises_nothing_but_refusals",
            ),
        ),
        "What is used is a key that verifies bytes (`Key.verify`) and its construction from a JWK "
        "(service/auth/tokens/key_set.py). PyJWT's `PyJWK(...).key` or joserfc's `JWKRegistry` give the same in about "
        "20 lines there; nothing else of the service would change, and the tests of tokens say whether it was right.",
    ),
    Watched(
        "python3-saml",
        "onelogin",
        frozenset(
            {
                "onelogin.saml2.auth.OneLogin_Saml2_Auth",
                "onelogin.saml2.authn_request.OneLogin_Saml2_Authn_Request",
                "onelogin.saml2.constants.OneLogin_Saml2_Constants",
                "onelogin.saml2.logout_request.OneLogin_Saml2_Logout_Request",
                "onelogin.saml2.logout_response.OneLogin_Saml2_Logout_Response",
                "onelogin.saml2.response.OneLogin_Saml2_Response",
                "onelogin.saml2.settings.OneLogin_Saml2_Settings",
                "onelogin.saml2.utils.OneLogin_Saml2_Utils",
                "onelogin.saml2.xml_utils.OneLogin_Saml2_XML",
            }
        ),
        (
            Hole(
                "signature wrapping (as CVE-2012-5664 and its like): what is read is not what was signed",
                "a screen before the library refuses every element in a place of its own choosing",
                f"{_SAML}/test_attacks.py::test_no_variant_of_a_good_response_is_accepted",
            ),
            Hole(
                "comments in a name (CVE-2017-11427): the text ends early",
                "a text with a comment, a processing instruction or a CDATA section in it is refused, and so is a DTD",
                f"{_SAML}/test_attacks.py::test_no_variant_of_a_good_response_is_accepted",
            ),
            Hole(
                "transforms and canonicalisations that cost work or read files",
                "a table of algorithms, one transform of a kind, a bound on their product",
                f"{_SAML}/test_work.py::test_nothing_that_is_admitted_costs_more_than_is_promised",
            ),
            Hole(
                "an encrypted assertion is decrypted before a signature is asked for",
                "the response has to be signed around it, and our key answers no stranger",
                f"{_SAML}/test_attacks.py::test_our_key_decrypts_nothing_for_somebody_else",
            ),
            Hole(
                "conditions, audiences, recipients and times are checked only where they are there",
                "rules of ours ask for each",
                f"{_SAML}/test_rules.py::test_each_rule_refuses_with_its_code",
            ),
            Hole(
                "no release since October 2023",
                "its version is exact, and libxml2 is that of lxml and xmlsec, which have releases",
                "tests/docs/test_supply_chain.py::test_no_locked_package_is_below_the_floor_of_an_advisory",
            ),
        ),
        "service/auth/saml is a sibling of oidc behind the protocol `SignIn` (service/auth/login/sign_in.py): without "
        "it, nothing else breaks. Of the library, it takes the signature check, decryption and messages; `signxml` for "
        "the first, `xmlsec` alone for the second, would take library.py and messages.py, about 450 lines. The screen "
        "and the rules are ours and stay.",
    ),
)


def page() -> str:
    """docs/reference/supply.md."""
    floors = "".join(f"| {row.package} | {row.version} | {row.advisory} | {row.fault} |\n" for row in FLOORS)
    parts = [
        "# Supply chain: floors, licences, watched libraries\n\nThis page is generated from `infra/docs/supply.py`: "
        "`uv run signalbox docs`. What it is for: [SUPPLY_CHAIN.md](../SUPPLY_CHAIN.md).\n\n"
        f"## Floors\n\nWritten down on {CHECKED:%Y-%m-%d} from known advisories; `uv audit --locked`, which the weekly "
        "workflow runs, asks the database itself. A lock file below one of them fails the "
        f"build.\n\n| package | at least | advisory | what an older one allows |\n| --- | --- | --- | --- |\n{floors}\n"
        f"## Licences\n\nOf packages in the image: {', '.join(sorted(LICENCES))}.\n"
    ]
    for row in WATCHED:
        holes = "".join(f"| {hole.what} | {hole.closed_by} | `{hole.test}` |\n" for hole in row.holes)
        parts.append(
            f"\n## {row.package}\n\nUsed: {', '.join(f'`{name}`' for name in sorted(row.used))}.\n\n"
            f"| known | closed by | shown by |\n| --- | --- | --- |\n{holes}\n**Replaced by:** {row.replaced}\n"
        )
    return "".join(parts)
