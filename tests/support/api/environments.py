"""Environments that the service starts from: one of production, and one of development without a provider."""

from __future__ import annotations

from service.auth.settings import AuthSettings
from service.naming import Names
from service.product import NAME
from service.settings import Groups
from tests.support.api.server import free_port

APP = Names(NAME).app_role
AUTH: Groups = {"auth": AuthSettings}  # as load() takes it

GOOD = {
    "ENVIRONMENT": "production",
    "PUBLIC_URL": "https://api.example.com",
    "ALLOWED_ORIGINS": "https://app.example.com,https://admin.example.com:8443",
    "DATABASE_URL": f"postgresql://{APP}@db.example.com:5432/signalbox?sslmode=verify-full",
    "DATABASE_SECRET_ID": "signalbox/production/database-app",
    "SESSION_SECRET_ID": "signalbox/production/session-key",
    "IDP__COGNITO__KIND": "cognito",
    "IDP__COGNITO__ISSUER": "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_abc",
    "IDP__COGNITO__CLIENT_ID": "web,mobile",
}
LOCAL_DATABASE = "postgresql://a:b@127.0.0.1/d?sslmode=disable"
DEVELOPMENT = {
    **{name: value for name, value in GOOD.items() if not name.startswith("IDP__")},
    "ENVIRONMENT": "development",
    "DATABASE_URL": LOCAL_DATABASE,
}
# Refuses connections at once.
NO_DATABASE = f"postgresql://{APP}@127.0.0.1:{free_port()}/none?sslmode=disable"
