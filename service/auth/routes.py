"""Found by the application; see ``service.auth.login.routes``."""

from service.auth.login.routes import router as router
