#!/usr/bin/env bash
# Bring a Debian-like machine and the checkout to where `cim` runs; takes a moment when nothing is missing.
# `tools/setup.sh test` also brings what only the tests need: other people's software that checks our log.
#
#   system packages   PostgreSQL with PostGIS, GDAL's tools, Python's venv: through apt, as root or with sudo;
#                     else the one command to run is printed and nothing is changed.
#                     Pango and a font with Chinese for reports as PDF, where they can be had.
#                     For the tests also Go with golang.org/x/mod, Chromium, QGIS, poppler's tools, pgRouting, Node
#                     where there is none, and in containers nginx.
#   .venv             the pinned packages and the `cim` command; for the tests also Node packages, in .venv/node.
set -euo pipefail
cd "$(dirname "$0")/.."

minimum_python="3.11"
minimum_postgresql=15
purpose="${1:-run}"
node_packages=tests/cim/log/crosscheck/package.json

say() { printf 'setup: %s\n' "$*" >&2; }
fail() {
    say "$*"
    exit 1
}

# --- what is there -------------------------------------------------------------------------------------------

# The first Python that is new enough, the machine's own first.
find_python() {
    local name
    for name in python3 python3.14 python3.13 python3.12 python3.11; do
        if "$name" -c "import sys; sys.exit(sys.version_info < (${minimum_python/./, }))" 2>/dev/null; then
            command -v "$name"
            return
        fi
    done
    fail "Python $minimum_python or newer is needed, found: $(python3 --version 2>&1 || true); install one and run again"
}

# Major versions of the PostgreSQL servers of Debian's packages that are new enough, newest first.
servers() {
    local program version
    for program in /usr/lib/postgresql/*/bin/postgres; do
        version=$(basename "${program%/bin/postgres}")
        if [ -x "$program" ] && [ "$version" -ge $minimum_postgresql ]; then echo "$version"; fi
    done | sort -rn
}

# Whether a PostgreSQL has PostGIS: one of Debian's, or any other that says where it keeps its extensions.
has_postgis() {
    local version share
    for version in $(servers); do
        if [ -e "/usr/share/postgresql/$version/extension/postgis.control" ]; then return 0; fi
    done
    share=$(pg_config --sharedir 2>/dev/null) && command -v postgres >/dev/null &&
        [ -e "$share/extension/postgis.control" ]
}

# The package of PostGIS, which brings the server: for the server there is, else for the one this release offers.
postgis_package() {
    local version
    version=$(servers | head -n 1)
    if [ -z "$version" ]; then
        version=$(apt-cache depends postgresql 2>/dev/null | sed -n 's/.*Depends: postgresql-\([0-9]\+\)$/\1/p' | head -n 1)
    fi
    if [ -z "$version" ]; then
        echo "postgresql postgresql-postgis"
    elif [ "$version" -lt $minimum_postgresql ]; then
        fail "this release offers PostgreSQL $version, $minimum_postgresql or newer is needed; add a package source that has it, or set CIM_DATABASE_URL"
    else
        echo "postgresql-$version postgresql-$version-postgis-3"
    fi
}

missing_packages() {
    local missing=() database
    # With CIM_DATABASE_URL somebody else's server is used, and none is needed here.
    if [ -z "${CIM_DATABASE_URL:-}" ] && ! has_postgis; then
        database=$(postgis_package) || exit 1
        missing+=("$database")
    fi
    if ! command -v ogr2ogr >/dev/null; then missing+=(gdal-bin); fi
    if [ ! -x .venv/bin/pip ] && ! "$python" -c "import ensurepip, venv" 2>/dev/null; then
        missing+=("$("$python" -c "import sys; print('python%d.%d-venv' % sys.version_info[:2])")")
    fi
    echo "${missing[*]}"
}

# What a report as PDF is set with; Chinese needs fonts that few machines have.
missing_report_packages() {
    local missing=() package library known
    known=$(ldconfig -p)
    for package in libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0; do
        library=${package%0}
        if [[ $known != *"${library%-}.so.0 "* ]]; then missing+=("$package"); fi
    done
    if [ -z "$(fc-list :lang=zh-cn 2>/dev/null)" ]; then missing+=(fontconfig fonts-noto-cjk); fi
    echo "${missing[*]}"
}

missing_test_packages() {
    local missing=() version
    if ! command -v go >/dev/null; then missing+=(golang-go); fi
    if [ ! -d /usr/share/gocode/src/golang.org/x/mod ]; then missing+=(golang-golang-x-mod-dev); fi
    if ! command -v chromium chromium-browser google-chrome >/dev/null; then missing+=(chromium); fi
    if ! command -v npm >/dev/null; then missing+=(npm); fi
    if [ ! -e /usr/lib/python3/dist-packages/qgis ]; then missing+=(python3-qgis qgis-providers); fi
    # It would be started and take port 80, except where a container's policy keeps services from that.
    if ! command -v nginx >/dev/null && [ -x /usr/sbin/policy-rc.d ]; then missing+=(nginx-light); fi
    if ! command -v pdftotext >/dev/null; then missing+=(poppler-utils); fi
    version=$(servers | head -n 1)
    if [ -n "$version" ] && [ ! -e "/usr/share/postgresql/$version/extension/pgrouting.control" ]; then
        missing+=("postgresql-$version-pgrouting")
    fi
    echo "${missing[*]}"
}

# --- what is done --------------------------------------------------------------------------------------------

# The argument names the function that tells what is missing.
install_packages() {
    local packages run=() wish
    packages=$("$1") || exit 1
    if [ -z "$packages" ]; then return; fi
    wish="apt-get update && apt-get install -y --no-install-recommends $packages"
    command -v apt-get >/dev/null || fail "missing, and this machine has no apt-get to install it with: $packages"
    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null || ! { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
            fail "missing: $packages. As root run: $wish"
        fi
        run=(sudo)
    fi
    say "installing $packages"
    # Debian's server package makes and starts a cluster of its own; ours is private to CIM_HOME, so that one would
    # only take memory. Where PostgreSQL is managed here already, its settings are left alone.
    if [ ! -e /etc/postgresql-common ]; then
        "${run[@]}" mkdir -p /etc/postgresql-common/createcluster.d
        echo "create_main_cluster = false" |
            "${run[@]}" tee /etc/postgresql-common/createcluster.d/cim.conf >/dev/null
    fi
    "${run[@]}" apt-get -q -o DPkg::Lock::Timeout=300 update >&2
    packages=$("$1") || exit 1 # the fresh lists may know the version now
    # shellcheck disable=SC2086 # a list of words
    "${run[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 \
        install -y --no-install-recommends $packages >&2
}

# uv does not read pip's settings; a mirror that pip is told of is meant for it too.
follow_pip() {
    local index
    index=$(.venv/bin/pip config get global.index-url 2>/dev/null || .venv/bin/pip config get :env:.index-url 2>/dev/null || true)
    if [ -n "$index" ]; then export UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-$index}"; fi
}

install_python_packages() {
    if ! .venv/bin/python -c "" 2>/dev/null || [ ! -x .venv/bin/pip ]; then
        say "making .venv with $("$python" --version)"
        rm -rf .venv
        "$python" -m venv .venv
    fi
    if [ ! -x .venv/bin/uv ]; then .venv/bin/pip install --quiet --disable-pip-version-check uv; fi
    follow_pip
    say "installing Python packages"
    # Compiled once here, and not again at each start where Python is told to write no bytecode (3 s of `cim ingest`).
    .venv/bin/uv pip install --quiet --compile-bytecode --python .venv/bin/python -r requirements.txt
    .venv/bin/uv pip install --quiet --python .venv/bin/python --no-deps -e .
}

install_node_packages() {
    if cmp -s "$node_packages" .venv/node/.setup; then return; fi
    say "installing Node packages"
    mkdir -p .venv/node
    cp "$node_packages" .venv/node/
    npm install --prefix .venv/node --silent --no-audit --no-fund --no-package-lock --ignore-scripts >&2 &&
        cp "$node_packages" .venv/node/.setup
}

case "$purpose" in
run | test) ;;
*) fail "usage: tools/setup.sh [test]" ;;
esac
python=$(find_python) || exit 1
install_packages missing_packages

# By content, since a checkout gives files new times.
state=$(cat requirements.txt pyproject.toml "$0" | sha256sum)
if [ ! -x .venv/bin/cim ] || ! .venv/bin/python -c "" 2>/dev/null || [ "$(cat .venv/.setup 2>/dev/null)" != "$state" ]; then
    install_python_packages
    echo "$state" >.venv/.setup
fi

# The platform does without these: where they cannot be had, a report as PDF says what is missing, and the tests that need
# the others say so and are skipped.
(install_packages missing_report_packages) || say "going on without them: no reports as PDF"
if [ "$purpose" = test ]; then
    (install_packages missing_test_packages) || say "going on without them"
    (install_node_packages) || say "going on without Node packages"
fi
