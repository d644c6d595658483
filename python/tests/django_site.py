"""A Django project in one module, for tests: settings, views, URLs, and both applications."""

import asyncio
import os
import sqlite3
import sys
import time

import django
from django.conf import settings
from django.core.cache import cache
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponse, StreamingHttpResponse
from django.template import engines
from django.urls import include, path, re_path
from django.views import View

from pitviper import tracer


class Passing:
    """Middleware of the plain kind; sync only."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        if request.path == "/broken-middleware":
            raise KeyError("middleware")
        return self.get_response(request)


def function_middleware(get_response):
    def middleware(request):
        return get_response(request)

    return middleware


def query():
    sqlite3.connect(":memory:").execute("SELECT 1")


def item(request, number):
    query()
    return HttpResponse(str(number))


async def async_item(request, number):
    with tracer.start_as_current_span("work"):
        await asyncio.sleep(0.01)
    return HttpResponse(str(number))


class Thing(View):
    def get(self, request):
        query()
        return HttpResponse("a thing")

    def post(self, request):
        raise ValueError("no such thing")


class AsyncThing(View):
    async def get(self, request):
        with tracer.start_as_current_span("work"):
            await asyncio.sleep(0)
        return HttpResponse("an async thing")


def fail(request):
    raise RuntimeError("out of order")


async def async_fail(request):
    raise RuntimeError("out of order")


def missing(request):
    raise Http404


def forbidden(request):
    raise PermissionDenied


def stream(request):
    def parts():
        for _ in range(3):
            with tracer.start_as_current_span("producing"):
                time.sleep(0.02)
            yield b"x"

    return StreamingHttpResponse(parts())


async def async_stream(request):
    async def parts():
        for _ in range(3):
            with tracer.start_as_current_span("producing"):
                await asyncio.sleep(0.02)
            yield b"x"

    return StreamingHttpResponse(parts())


#: What an endless response did when its client left.
ended = []


async def endless(request):
    async def parts():
        try:
            # Django before 5.0 goes on to the end.
            for _ in range(100):
                yield b"z" * 1024
                await asyncio.sleep(0.01)
        finally:
            ended.append(True)

    return StreamingHttpResponse(parts())


async def slow(request, name):
    await asyncio.sleep(0.02)
    with tracer.start_as_current_span(f"child {name}"):
        await asyncio.sleep(0.01)
    return HttpResponse(name)


def threaded_slow(request, name):
    time.sleep(0.01)
    with tracer.start_as_current_span(f"child {name}"):
        return HttpResponse(name)


def cached(request):
    cache.get("k")
    cache.set("k", 1)
    return HttpResponse(str(cache.get("k", 2)))


def templated(request):
    text = "{% include inner %}"
    inner = engines["django"].from_string("inner")
    return HttpResponse(engines["django"].from_string(text).render({"inner": inner.template}))


def process(request):
    query()
    return HttpResponse(str(os.getpid()))


urlpatterns = [
    path("items/<int:number>/", item),
    path("async-items/<int:number>/", async_item),
    path("thing", Thing.as_view()),
    path("async-thing", AsyncThing.as_view()),
    path("fail", fail),
    path("async-fail", async_fail),
    path("missing", missing),
    path("forbidden", forbidden),
    path("stream", stream),
    path("async-stream", async_stream),
    path("endless", endless),
    path("slow/<name>", slow),
    path("threaded-slow/<name>", threaded_slow),
    path("cached", cached),
    path("templated", templated),
    path("process", process),
    re_path(r"^old/", include([re_path(r"^(?P<year>[^/]+)/(\d{2})$", lambda request, year: HttpResponse(year))])),
]

settings.configure(
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="test",
    MIDDLEWARE=[
        "django.middleware.common.CommonMiddleware",
        f"{__name__}.Passing",
        f"{__name__}.function_middleware",
    ],
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
    CACHES={"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}},
    LOGGING_CONFIG=None,
    APPEND_SLASH=False,
)
django.setup(set_prefix=False)


def wsgi():
    """A new WSGI application, with the middleware loaded now."""
    from django.core.handlers.wsgi import WSGIHandler

    return WSGIHandler()


def asgi():
    """A new ASGI application, with the middleware loaded now."""
    from django.core.handlers.asgi import ASGIHandler

    return ASGIHandler()


if "gunicorn" in sys.modules:
    application = wsgi()
