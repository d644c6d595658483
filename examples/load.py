"""A bounded stream of realistic requests to the blog: ``python load.py http://127.0.0.1:5000``.

Readers look at the index, authors register, log in, write, correct and delete posts; now and then
somebody opens the slow report, the broken page or the export. Prints a summary, and exits with 1 when
a request had another status than it should.
"""

import argparse
import random
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter
from http.cookiejar import CookieJar

#: Share of each kind of visit.
VISITS = {"read": 50, "write": 25, "update": 8, "delete": 4, "report": 6, "broken": 3, "export": 4}


class Visitor:
    """A browser with cookies, and a count of what it got."""

    def __init__(self, base: str, random_source: random.Random) -> None:
        self.base = base
        self.random = random_source
        self.statuses: Counter[str] = Counter()
        self.unexpected: list[str] = []
        self.durations: list[float] = []
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(CookieJar())
        )

    def request(self, path: str, form: "dict[str, str] | None" = None, expected: int = 200) -> str:
        """Fetches a page, following redirects, and returns its text."""
        data = urllib.parse.urlencode(form).encode() if form is not None else None
        began = time.perf_counter()
        try:
            with self._opener.open(self.base + path, data=data, timeout=30) as response:
                status, text = response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                status, text = error.code, error.read().decode()
        except OSError as error:
            status, text = 0, str(error)
        self.durations.append(time.perf_counter() - began)
        self.statuses[f"{status} {'POST' if form is not None else 'GET'} /{path.strip('/').split('/')[-1]}"] += 1
        if status != expected:
            self.unexpected.append(f"{path}: {status} instead of {expected}")
        return text

    def log_in(self, name: str) -> None:
        """Registers and logs in."""
        self.request("/auth/register", {"username": name, "password": "secret"})
        self.request("/auth/login", {"username": name, "password": "secret"})

    def visit(self, kind: str) -> None:
        """Does what a visitor of that kind does."""
        number = self.random.randrange(10_000)
        if kind == "write":
            self.request("/create", {"title": f"Post {number}", "body": "Lorem ipsum. " * self.random.randrange(1, 40)})
        elif kind in ("update", "delete"):
            own = re.findall(r'href="/(\d+)/update"', self.request("/"))
            if own and kind == "update":
                self.request(f"/{self.random.choice(own)}/update", {"title": f"Post {number}", "body": "Corrected."})
            elif own:
                self.request(f"/{own[-1]}/delete", {})
        elif kind == "broken":
            self.request("/broken", expected=500)
        elif kind == "report":
            self.request("/report")
        elif kind == "export":
            self.request("/export")
        else:
            self.request("/")


def main() -> int:
    """Drives the load; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("base", help="URL of the blog")
    parser.add_argument("--visits", type=int, default=200, help="how many visits (default 200)")
    parser.add_argument("--duration", type=float, default=0, help="stop after so many seconds (default: no limit)")
    parser.add_argument("--rate", type=float, default=0, help="visits a second (default: as fast as it goes)")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()

    source = random.Random(arguments.seed)
    visitor = Visitor(arguments.base.rstrip("/"), source)
    visitor.log_in(f"author{source.randrange(1_000_000)}")
    kinds, weights = list(VISITS), list(VISITS.values())
    began = time.monotonic()
    for number in range(arguments.visits):
        elapsed = time.monotonic() - began
        if arguments.duration and elapsed >= arguments.duration:
            break
        if arguments.rate:
            time.sleep(max(0.0, number / arguments.rate - elapsed))
        visitor.visit(source.choices(kinds, weights)[0])

    durations = sorted(visitor.durations)
    print(
        f"{len(durations)} requests in {time.monotonic() - began:.1f} s, median {durations[len(durations) // 2]:.4f} s"
    )
    for what, count in sorted(visitor.statuses.items()):
        print(f"  {count:5} {what}")
    for problem in visitor.unexpected[:10]:
        print(f"unexpected: {problem}", file=sys.stderr)
    return 1 if visitor.unexpected else 0


if __name__ == "__main__":
    sys.exit(main())
