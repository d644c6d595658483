"""Django's settings: a new project without sessions and users."""

import os

#: Where the model, the view and the route come from: see ``applications.django_requests``.
ROOT_URLCONF = "bench_urls"
TEMPLATE = "{% load l10n %}<ul>{% for post in posts %}<li>{{ post.title }}{% endfor %}</ul>{{ count }}"

ALLOWED_HOSTS = ["*"]
SECRET_KEY = "not secret"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
#: What an agent has to have among them.
INSTALLED_APPS = os.environ.get("BENCH_DJANGO_APPLICATIONS", "").split()
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "OPTIONS": {"loaders": [("django.template.loaders.locmem.Loader", {"posts.html": TEMPLATE})]},
    }
]
