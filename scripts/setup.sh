#!/usr/bin/env bash
# Installs what building and testing need. Run again, it only checks.
set -euo pipefail
cd "$(dirname "$0")/.."
cache=$HOME/.cache/pitviper
mkdir -p "$cache"

missing() {
    echo "setup: $1" >&2
    exit 1
}

command -v cargo >/dev/null || missing "no cargo; install Rust 1.94 or newer"
command -v node >/dev/null || missing "no node; install Node.js 20.19 or newer"
command -v npm >/dev/null || missing "no npm; it comes with Node.js"
command -v python3 >/dev/null || missing "no python3; install Python 3.9 or newer"
python3 -c 'import sys; sys.exit(sys.version_info < (3, 9))' || missing "python3 is older than 3.9"

# Debian packages, by the command that shows they are there.
packages=()
command -v cc >/dev/null || packages+=(build-essential)
command -v chromium >/dev/null || packages+=(chromium)
# Servers that the integrations' tests talk to; the tests start them.
ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || packages+=(postgresql)
command -v mariadbd >/dev/null || packages+=(mariadb-server)
command -v redis-server >/dev/null || packages+=(redis-server)
command -v rabbitmq-server >/dev/null || packages+=(rabbitmq-server)
command -v memcached >/dev/null || packages+=(memcached)
# What drivers without wheels of their own are compiled against.
[ -e /usr/include/mariadb/mysql.h ] || packages+=(libmariadb-dev pkg-config)
[ -e /usr/include/libmemcached/memcached.h ] || packages+=(libmemcached-dev zlib1g-dev)
if [ ${#packages[@]} -gt 0 ]; then
    echo "setup: installing ${packages[*]}"
    if [ "$(id -u)" -ne 0 ]; then
        missing "run: sudo apt-get install ${packages[*]}"
    fi
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends "${packages[@]}" fonts-dejavu-core >/dev/null
fi

if ! cargo nextest --version >/dev/null 2>&1; then
    echo "setup: installing cargo-nextest"
    cargo install --locked --quiet cargo-nextest
fi

# Runs a command when what it depends on changed since it last succeeded.
when_changed() {
    local stamp=$1 name=$2 depends=$3 sum
    shift 3
    sum=$(sha256sum "$depends")
    if [ "$(cat "$stamp" 2>/dev/null)" != "$sum" ]; then
        echo "setup: $name"
        "$@"
        echo "$sum" >"$stamp"
    fi
}

[ -x "$cache/tools/bin/python" ] || { python3 -m venv "$cache/tools"; }
when_changed "$cache/tools/requirements.stamp" tools scripts/requirements-tools.txt \
    "$cache/tools/bin/pip" install --quiet --disable-pip-version-check -r scripts/requirements-tools.txt

bash scripts/newer-pythons.sh

mkdir -p ui/node_modules
when_changed ui/node_modules/.lock.stamp ui ui/package-lock.json npm --prefix ui install --silent --no-audit --no-fund
