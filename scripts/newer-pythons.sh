#!/usr/bin/env bash
# Puts CPythons that this Debian does not have yet into ~/.cache/pitviper/newer: packages of Debian's
# unstable suite, unpacked beside the system and installed nowhere. Run again, it only checks.
#
# The interpreters run in the system like any other program, so tests and the servers they start see one
# machine; only the loader and the libraries they are linked with are those of the folder. apt fetches and
# verifies the packages with settings of its own, from the mirror that the system's Debian comes from.
set -euo pipefail
cd "$(dirname "$0")/.."
cache=$HOME/.cache/pitviper
folder=$cache/newer
suite=sid
versions=(3.14)

# Which of them the system has itself.
wanted=()
for version in "${versions[@]}"; do
    command -v "python$version" >/dev/null || wanted+=("$version")
done
[ ${#wanted[@]} -gt 0 ] || exit 0

stamp="$(sha256sum "$0" | cut -d' ' -f1) ${wanted[*]}"
[ "$(cat "$folder/stamp" 2>/dev/null)" != "$stamp" ] || exit 0

give_up() {
    printf 'setup: NO CPython %s: %s\n' "${wanted[*]}" "$1" >&2
    printf 'setup: the agent is NOT tested on it here\n' >&2
    # Where it counts, nothing is left out silently.
    [ -z "${CI:-}" ] || exit 1
    exit 0
}

command -v apt-get >/dev/null || give_up "this is no Debian; put python${wanted[0]} on the PATH"

# Where the system's own Debian comes from, as apt knows it.
read_mirror() {
    # shellcheck disable=SC2016 # the variables are apt's
    apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(SITE)' 'Identifier: Packages' 2>/dev/null |
        sed -n 's/^Debian|Debian|//p' | head -n 1
}
mirror=$(read_mirror)
if [ -z "$mirror" ] && [ "$(id -u)" -eq 0 ]; then
    apt-get update -qq >/dev/null || true
    mirror=$(read_mirror)
fi
[ -n "$mirror" ] || give_up "apt's sources name no mirror of Debian; see sources.list(5), then run apt-get update"
# Its keys; without the file those that apt trusts for everything.
keys=/usr/share/keyrings/debian-archive-keyring.gpg
signed=$([ ! -e "$keys" ] || echo "[signed-by=$keys]")

echo "setup: CPython ${wanted[*]} from Debian $suite"
began=$SECONDS
# Made whole elsewhere and moved: a run that was killed leaves nothing that looks complete.
rm -rf "$folder" "$folder.new"
apt=$folder.new/apt
root=$folder.new
mkdir -p "$apt"/{state/lists/partial,cache/archives/partial,etc}
echo "deb $signed $mirror $suite main" >"$apt/etc/sources.list"
: >"$apt/status"
options=(
    -qq
    -o "Dir::State=$apt/state" -o "Dir::State::status=$apt/status" -o "Dir::Cache=$apt/cache"
    -o "Dir::Etc::sourcelist=$apt/etc/sources.list" -o Dir::Etc::sourceparts=/dev/null -o Dir::Etc::preferences=/dev/null
    -o Dir::Etc::preferencesparts=/dev/null -o APT::Default-Release= -o Acquire::Languages=none
    -o APT::Install-Recommends=false -o pkgCacheGen::Essential=none -o "APT::Sandbox::User=$(id -un)"
    -o APT::Update::Post-Invoke-Success::=true -o Acquire::Retries=3
)
apt-get "${options[@]}" update || give_up "apt cannot read Debian's $suite suite; is its mirror reached?"

packages=()
libraries=()
headers=()
for version in "${wanted[@]}"; do
    if apt-cache "${options[@]}" show "python$version" >/dev/null 2>&1; then
        packages+=("python$version")
        libraries+=("libpython$version")
        headers+=("libpython$version-dev")
    else
        echo "setup: Debian $suite has no python$version" >&2
    fi
done
[ ${#packages[@]} -gt 0 ] || give_up "Debian $suite has none of them"

apt-get "${options[@]}" install --yes --download-only "${packages[@]}" "${libraries[@]}" python3-pip-whl >/dev/null ||
    give_up "apt cannot fetch them"
# Of the development packages the headers and the library's link alone, without what they depend on: what is compiled
# for these interpreters is compiled with the system's compiler against the system's C library.
(cd "$apt/cache/archives" && apt-get "${options[@]}" download "${headers[@]}" >/dev/null) ||
    give_up "apt cannot fetch their headers"

mkdir -p "$root/usr"/{bin,lib,lib64,sbin}
for name in bin lib lib64 sbin; do ln -s "usr/$name" "$root/$name"; done
for package in "$apt"/cache/archives/*.deb; do
    case $(basename "$package") in
    libpython3*-dev_*)
        dpkg-deb --fsys-tarfile "$package" | tar -x -C "$root" --wildcards './usr/include/*' './usr/lib/*/libpython*.so'
        ;;
    *) dpkg-deb --fsys-tarfile "$package" | tar -x -C "$root" --exclude './usr/share/doc' --exclude './usr/share/man' ;;
    esac
done
rm -rf "$apt"

place=$(dirname "$(ls "$root"/usr/lib/*/libc.so.6)")
triplet=$(basename "$place")
loader=$(basename "$(ls "$place"/ld-linux*.so.* | head -n 1)")
for package in "${packages[@]}"; do
    # The folder's loader and libraries, at the place they are moved to.
    "$cache/tools/bin/patchelf" --set-interpreter "$folder/usr/lib/$triplet/$loader" --force-rpath \
        --set-rpath "$folder/usr/lib/$triplet" "$root/usr/bin/$package"
    # Debian's is a switch between architectures.
    cp "$root/usr/include/$triplet/$package/pyconfig.h" "$root/usr/include/$package/pyconfig.h"
done
mv "$root" "$folder"
for package in "${packages[@]}"; do
    "$folder/usr/bin/$package" -c 'import ssl, sqlite3, ctypes' || give_up "$package does not run"
done
echo "$stamp" >"$folder/stamp"
echo "setup: CPython ${wanted[*]}: $(du -sm "$folder" | cut -f1) MB in $((SECONDS - began)) s"
