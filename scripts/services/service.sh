# Sourced by the scripts beside it, each of which runs one service for tests: a private directory, a private port, no
# systemd. Standard output carries only the `export …` line that tests need; everything else goes to standard error.
#
#   scripts/services/NAME start DIR [PORT]   start it, wait until it is ready, print its address (again, if it runs)
#   scripts/services/NAME stop DIR           stop it and wait until it is gone; its data stay in DIR
#
# With VECTRION_SERVICE_TLS=1 it speaks TLS alone, with a certificate that DIR/tls/ca.pem vouches for.
#
# A script defines `package`, `serve` and `ready`, and ends with `main "$@"`.
set -euo pipefail

# Seconds that a service may take to become ready, and to end.
READY_S="${VECTRION_SERVICE_READY_S:-60}"
STOP_S=20

say() { echo "==> $*" >&2; }
fail() { echo "error: $*" >&2; exit 1; }

# apt_package PACKAGE FILE: installs the Debian package unless FILE is there. The package does not start its own service.
apt_package() {
    [ -e "$2" ] && return
    command -v apt-get >/dev/null || fail "$2 is missing, and so is apt-get: install $1"
    AS_ROOT=()
    if [ "$(id -u)" -ne 0 ]; then
        sudo -n true 2>/dev/null || fail "$2 is missing: run \`apt-get install $1\` as root"
        AS_ROOT=(sudo -n)
    fi
    # One at a time: apt waits for the lock of its packages, but not for that of its lists. A shell of its own lets go of the
    # lock, and undoes what was there for the time of the installation, however it ends.
    (
        flock 8
        [ -e "$2" ] || install_package "$1"
    ) 8>>"${TMPDIR:-/tmp}/vectrion-apt-$(id -u).lock" || exit 1
    [ -e "$2" ] || fail "the package $1 was installed, but $2 is not there"
}

install_package() {
    say "installing the Debian package $1"
    keep_services_from_starting "$1"
    : >"$DIR/install.log"
    apt_get install -y --no-install-recommends "$1" \
        || { apt_get update && apt_get install -y --no-install-recommends "$1"; } \
        || { tail -n 5 "$DIR/install.log" >&2; fail "cannot install $1; $DIR/install.log says why"; }
}

apt_get() {
    "${AS_ROOT[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
        apt-get -qq -o DPkg::Lock::Timeout=300 "$@" >>"$DIR/install.log" 2>&1 8>&- 9>&-
}

# Until this shell ends. RUNLEVEL=1 alone does not keep systemd from starting what a package brings.
keep_services_from_starting() {
    local policy=/usr/sbin/policy-rc.d clusters=/etc/postgresql-common/createcluster.d/vectrion.conf
    MADE=()
    trap '[ ${#MADE[@]} -eq 0 ] || "${AS_ROOT[@]}" rm -f "${MADE[@]}"' EXIT
    trap 'exit 1' INT TERM HUP
    if [ ! -e "$policy" ]; then
        MADE+=("$policy")
        printf '#!/bin/sh\nexit 101\n' | "${AS_ROOT[@]}" install -m 755 /dev/stdin "$policy"
    fi
    # PostgreSQL's package makes a cluster of its own, unless it is told not to. Where it has been before, it is configured.
    case "$1" in postgresql-*) ;; *) return 0 ;; esac
    if ! dpkg-query -W -f '${db:Status-Status}' postgresql-common 2>/dev/null | grep -Eq '^(installed|config-files)'; then
        MADE+=("$clusters")
        printf 'create_main_cluster = false\n' | "${AS_ROOT[@]}" install -D -m 644 /dev/stdin "$clusters"
    fi
}

# A port of the loopback that nobody uses now.
free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# A secret of this directory, made once.
secret() {
    [ -s "$DIR/secret" ] || (umask 077 && od -An -N16 -tx1 /dev/urandom | tr -d ' \n' >"$DIR/secret")
    cat "$DIR/secret"
}

# Whether it is to speak TLS; makes what it takes.
tls() {
    [ "${VECTRION_SERVICE_TLS:-}" = 1 ] || return 1
    [ ! -s "$DIR/tls/cert.pem" ] || return 0
    local key=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes)
    mkdir -p "$DIR/tls"
    (
        cd "$DIR/tls"
        umask 077
        openssl req -x509 "${key[@]}" -days 30 -subj "/CN=tests" -keyout ca.key -out ca.pem
        openssl req "${key[@]}" -subj "/CN=localhost" -keyout key.pem -out request.pem
        echo "subjectAltName=IP:127.0.0.1,DNS:localhost" >names
        openssl x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile names -out new.pem
        mv new.pem cert.pem
    ) >>"$DIR/log" 2>&1 || fail "cannot make a certificate; see $DIR/log"
}

# When a process started, in clock ticks since the machine did: tells it from another that got its number later.
start_time() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d ' ' -f 20; }

# The process in DIR/pid, if it still runs.
running() {
    local pid began
    read -r pid began 2>/dev/null <"$DIR/pid" || return 1
    [ -n "$began" ] && [ "$(start_time "$pid")" = "$began" ] || return 1
    # One that has ended and was not waited for is not running.
    ! grep -q '^State:\s*Z' "/proc/$pid/status" 2>/dev/null || return 1
    echo "$pid"
}

# detached COMMAND…: runs it in a session of its own, its output in DIR/log, its process in DIR/pid.
detached() {
    setsid "$@" >>"$DIR/log" 2>&1 </dev/null 8>&- 9>&- &
    echo "$! $(start_time $!)" >"$DIR/pid"
}

wait_ready() {
    local end=$((SECONDS + READY_S))
    until ready 2>/dev/null; do
        running >/dev/null 2>&1 || { tail -n 20 "$DIR/log" >&2; fail "$NAME ended before it was ready; see $DIR/log"; }
        [ $SECONDS -lt $end ] || { tail -n 20 "$DIR/log" >&2; fail "$NAME is not ready after ${READY_S} s; see $DIR/log"; }
        sleep 0.1
    done
}

start() {
    mkdir -p "$DIR"
    DIR="$(cd "$DIR" && pwd -P)"
    exec 9>"$DIR/.lock"
    flock 9
    package
    if ! running >/dev/null 2>&1; then
        # A port once taken is kept, so that addresses outlive a restart.
        PORT="${PORT:-$(cat "$DIR/port" 2>/dev/null || free_port)}"
        echo "$PORT" >"$DIR/port"
        : >"$DIR/log"
        serve
        say "$NAME starts on port $PORT"
    else
        local had
        had="$(cat "$DIR/port")"
        [ "${PORT:-$had}" = "$had" ] || fail "$NAME runs in $DIR already, on port $had: stop it first"
        PORT="$had"
    fi
    wait_ready
    prepare
    address
}

stop() {
    [ -d "$DIR" ] || return 0
    DIR="$(cd "$DIR" && pwd -P)"
    exec 9>"$DIR/.lock"
    flock 9
    local pid end=$((SECONDS + STOP_S))
    pid="$(running 2>/dev/null)" || { rm -f "$DIR/pid"; finish; return 0; }
    kill -"${STOP_SIGNAL:-TERM}" "$pid"
    while running >/dev/null 2>&1; do
        if [ $SECONDS -ge $end ]; then
            say "$NAME did not end within ${STOP_S} s: killing it"
            kill -KILL -- "-$pid" 2>/dev/null || kill -KILL "$pid" 2>/dev/null || true
            end=$((SECONDS + STOP_S))
        fi
        sleep 0.1
    done
    rm -f "$DIR/pid"
    finish
    say "$NAME stopped"
}

# What is to be made in a service that runs; may be repeated.
prepare() { :; }

# What is to be ended beside the process itself.
finish() { :; }

main() {
    NAME="$(basename "$0")"
    case "${1:-} $#" in
        "start 2" | "start 3") DIR="$2" PORT="${3:-}" && start ;;
        "stop 2") DIR="$2" && stop ;;
        *) echo "usage: $0 start DIR [PORT] | stop DIR" >&2 && exit 2 ;;
    esac
}
