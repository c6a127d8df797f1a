"""The environment, whole or refused: fields, formats, refusals, and the one place that reads it.

What a feature's own settings are made of is here too: ``Group``, ``Secret``, formats, ``FormatError`` for formats of
its own.
"""

from service.settings.fields import Settings
from service.settings.formats import FormatError, Listed, LongEnough, Origin, Url
from service.settings.groups import Group, Groups, Variable, claimed, described, variables
from service.settings.load import SettingsError, load
from service.settings.secret import ByValue, Secret

__all__ = [
    "ByValue",
    "FormatError",
    "Group",
    "Groups",
    "Listed",
    "LongEnough",
    "Origin",
    "Secret",
    "Settings",
    "SettingsError",
    "Url",
    "Variable",
    "claimed",
    "described",
    "load",
    "variables",
]
