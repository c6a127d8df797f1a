"""The environment, whole or refused: fields, formats, refusals, and the one place that reads it."""

from service.settings.fields import ProviderSettings, Settings, Variable, variables
from service.settings.load import SettingsError, load

__all__ = ["ProviderSettings", "Settings", "SettingsError", "Variable", "load", "variables"]
