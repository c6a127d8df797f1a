"""Metadata of a provider: the document, and a host that serves it."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler

from tests.support.local_http import LocalHttp
from tests.support.saml.mint import ISSUER
from tests.support.saml.provider import KeyPair, key_pair

MD = "urn:oasis:names:tc:SAML:2.0:metadata"
REDIRECT = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"


def key_descriptor(pair: KeyPair, use: str = 'use="signing"') -> str:
    return (
        f'<KeyDescriptor {use}><KeyInfo xmlns="http://www.w3.org/2000/09/xmldsig#"><X509Data><X509Certificate>'
        f"{pair.one_line}</X509Certificate></X509Data></KeyInfo></KeyDescriptor>"
    )


def document(
    *pairs: KeyPair, entity_id: str = ISSUER, sso: str = "https://idp.example.org/sso", keys: str = "", more: str = ""
) -> bytes:
    described = keys or "".join(key_descriptor(pair) for pair in pairs or (key_pair("idp"),))
    return (
        f'<EntityDescriptor xmlns="{MD}" ID="_m" entityID="{entity_id}" {more}>'
        f'<IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">{described}'
        f'<SingleLogoutService Binding="{REDIRECT}" Location="https://idp.example.org/slo" '
        'ResponseLocation="https://idp.example.org/slo-done"/>'
        f'<SingleSignOnService Binding="{REDIRECT}" Location="{sso}"/></IDPSSODescriptor></EntityDescriptor>'
    ).encode()


class MetadataHost(LocalHttp):
    """Serves one document, and counts how often it was asked."""

    def __init__(self) -> None:
        self.body, self.status, self.fetches = document(), 200, 0
        self.headers: dict[str, str] = {}
        self.accepted: str | None = None
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.fetches += 1
                outer.accepted = self.headers.get("Accept")
                self.send_response(outer.status)
                self.send_header("Content-Length", str(len(outer.body)))
                for name, value in outer.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(outer.body)

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(Handler)
        self.metadata_url = f"{self.url}/metadata"
