"""The routes of the service, one file for each thing that is asked about."""

from ensue.serving.routes import admin, events, explain, health, items, others, rating, recommend, users

ROUTERS = (
    recommend.router,
    events.router,
    others.router,
    rating.router,
    explain.router,
    items.router,
    users.router,
    admin.router,
    health.router,
)

__all__ = ["ROUTERS"]
