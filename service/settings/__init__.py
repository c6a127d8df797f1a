"""The environment, whole or refused: fields, formats, refusals, and the one place that reads it.

What a feature's own settings are made of is here too: ``Secret``, formats, ``FormatError`` for formats of its own.
"""

from service.settings.fields import (
    SESSION_KEY_CHARACTERS,
    Groups,
    OpenIdSettings,
    ProviderSettings,
    SamlSettings,
    Settings,
    Variable,
    variables,
)
from service.settings.formats import FormatError, Listed, LongEnough, Origin, Url
from service.settings.load import PROVIDER_VARIABLE, SettingsError, load
from service.settings.secret import ByValue, Secret

__all__ = [
    "PROVIDER_VARIABLE",
    "SESSION_KEY_CHARACTERS",
    "ByValue",
    "FormatError",
    "Groups",
    "Listed",
    "LongEnough",
    "OpenIdSettings",
    "Origin",
    "ProviderSettings",
    "SamlSettings",
    "Secret",
    "Settings",
    "SettingsError",
    "Url",
    "Variable",
    "load",
    "variables",
]
