"""SAML sign-in. Nothing outside imports what is in this package before a provider of kind ``saml`` is configured."""

from __future__ import annotations

from service.settings import SettingsError


def check_libraries() -> None:
    """Import xmlsec and lxml together, which is what fails when their wheels carry different copies of libxml2.

    Raises:
        SettingsError: They do not fit; the text says what does.
    """
    try:
        import xmlsec
        from lxml import etree

        xmlsec.tree.add_ids(etree.fromstring("<a ID='b'/>"), ["ID"])
        if xmlsec.get_libxml_version() != etree.LIBXML_VERSION:
            raise ImportError("libxml2")
    except Exception as failure:  # xmlsec raises an error of its own while it is imported
        raise SettingsError(
            "A saml provider is configured, but xmlsec and lxml do not work together "
            f"({type(failure).__name__}): install exactly the pair that pyproject.toml pins, both as wheels "
            "(docs/AUTH_CONFIGURATION.md, section SAML)."
        ) from failure
