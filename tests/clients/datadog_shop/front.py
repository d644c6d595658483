"""A shop's front in Django, without a word about tracing: ``front.py PORT``."""

import os
import sys

import django
import requests
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.db import connection
from django.http import HttpRequest, JsonResponse
from django.urls import path
from werkzeug.serving import make_server

STOCK = os.environ["SHOP_STOCK"]


def checkout(request: HttpRequest, item: int) -> JsonResponse:
    """Asks its database for the price, and the stock for the item."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT price FROM prices WHERE item = %s AND currency <> 'secret'", [item])
        (price,) = cursor.fetchone()
    requests.post(f"{STOCK}/orders/{item}", timeout=20).raise_for_status()
    return JsonResponse({"price": price})


def broken(request: HttpRequest) -> JsonResponse:
    """Fails."""
    raise LookupError("no such page")


urlpatterns = [path("checkout/<int:item>", checkout), path("broken", broken)]


def main() -> None:
    """Runs it."""
    host, port = os.environ["SHOP_DATABASE"].split(":")
    postgresql = {"ENGINE": "django.db.backends.postgresql", "NAME": "postgres", "USER": "postgres"}
    settings.configure(
        ALLOWED_HOSTS=["127.0.0.1"],
        DATABASES={"default": {**postgresql, "HOST": host, "PORT": port}},
        LOGGING_CONFIG=None,
        ROOT_URLCONF=__name__,
        SECRET_KEY="of tests",
    )
    django.setup()
    make_server("127.0.0.1", int(sys.argv[1]), get_wsgi_application(), threaded=True).serve_forever()


if __name__ == "__main__":
    main()
