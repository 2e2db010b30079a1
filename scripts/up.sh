#!/usr/bin/env bash
# `make up` and `make down`: the distributed profile on this machine, two servers and two workers beside PostgreSQL,
# RabbitMQ, Redis, an S3 server and a vector index.
#
#   scripts/up.sh start   start what does not run yet; print how to use it
#   scripts/up.sh stop    stop all of it; the data stay
#
# A service whose URL is given (VECTRION_DATABASE_URL, VECTRION_QUEUE_URL, VECTRION_VECTORS_URL, VECTRION_OBJECTS_URL with
# its keys, VECTRION_CACHE_URL) is used as it is; the others are started from packages, on ports that are free. Everything
# is kept in VECTRION_UP_DIR, which users of their own (postgres) must be able to enter.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/services/service.sh

BASE="${VECTRION_UP_DIR:-/var/tmp/vectrion-up-$(id -u)}"
TARGET="${CARGO_TARGET_DIR:-target}"
PROGRAMS="$(mkdir -p "$TARGET/release" && cd "$TARGET/release" && pwd)"
PROCESSES=(server-1 server-2 worker-1 worker-2)
SERVICES=(postgres rabbitmq redis s3 qdrant)
STOP_SIGNAL=TERM
# Beyond what a process gives to its work in hand (server.drain_s, worker.drain_s) and to the rest of its end.
STOP_S=90

# The URL of a service that the caller has.
given() {
    case "$1" in
        postgres) echo "${VECTRION_DATABASE_URL:-}" ;;
        rabbitmq) echo "${VECTRION_QUEUE_URL:-}" ;;
        redis) echo "${VECTRION_CACHE_URL:-}" ;;
        s3) echo "${VECTRION_OBJECTS_URL:-}" ;;
        qdrant) echo "${VECTRION_VECTORS_URL:-}" ;;
    esac
}

# What a service that was started prints, as settings of Vectrion.
settings_of() {
    case "$1" in
        postgres) export VECTRION_DATABASE_URL="$VECTRION_TEST_POSTGRES_URL" ;;
        rabbitmq) export VECTRION_QUEUE_URL="$VECTRION_TEST_AMQP_URL" ;;
        redis) export VECTRION_CACHE_URL="$VECTRION_TEST_REDIS_URL" ;;
        qdrant) export VECTRION_VECTORS_URL="$VECTRION_TEST_QDRANT_URL" VECTRION_VECTORS_API_KEY="$VECTRION_TEST_QDRANT_API_KEY" ;;
        s3)
            local rest="${VECTRION_TEST_S3_URL#http://}" user
            user="${rest%%@*}"
            rest="${rest#*@}"
            export VECTRION_OBJECTS_URL="s3://${rest#*/}" VECTRION_OBJECTS_ENDPOINT="http://${rest%%/*}"
            export VECTRION_OBJECTS_ACCESS_KEY_ID="${user%%:*}" VECTRION_OBJECTS_SECRET_ACCESS_KEY="${user#*:}"
            export VECTRION_OBJECTS_ALLOW_HTTP=true
            ;;
    esac
}

start_services() {
    local service output
    for service in "${SERVICES[@]}"; do
        if [ -n "$(given "$service")" ]; then
            say "$service: the one that is given"
            continue
        fi
        if [ "$service" = qdrant ]; then
            say "no Qdrant server is given (VECTRION_VECTORS_URL), so a stand-in takes its place: good for a try, not for your data"
            [ -x "$PROGRAMS/qdrant-standin" ] || ${CARGO:-cargo} build --release --locked --workspace --bins --exclude vectrion-faults >&2
        fi
        output="$(FSYNC=on "scripts/services/$service" start "$BASE/$service")"
        eval "$output"
        settings_of "$service"
    done
}

# A port of this name, the same every time.
port_of() {
    [ -s "$BASE/$1.port" ] || { [ -n "${2:-}" ] && ! (exec 3<>"/dev/tcp/127.0.0.1/$2") 2>/dev/null && echo "$2" || free_port; } >"$BASE/$1.port"
    cat "$BASE/$1.port"
}

# Whether a process answers on its port for probes.
ready() { curl --silent --fail --max-time 2 -o /dev/null "http://127.0.0.1:$METRICS_PORT/healthz"; }

start_process() {
    local name="$1" preferred="" arguments=()
    NAME="$name" DIR="$BASE/$name"
    mkdir -p "$DIR"
    METRICS_PORT="$(port_of "$name-metrics")"
    case "$name" in
        server-1) preferred=50051 ;&
        server-*) arguments=("$PROGRAMS/vectrion" serve --data-dir "$DIR/data" --listen "127.0.0.1:$(port_of "$name" $preferred)") ;;
        worker-*) arguments=("$PROGRAMS/vectrion-worker" --data-dir "$DIR/data") ;;
    esac
    if ! running >/dev/null 2>&1; then
        : >"$DIR/log"
        VECTRION_METRICS_LISTEN="127.0.0.1:$METRICS_PORT" detached "${arguments[@]}"
        say "$name starts"
    fi
    wait_ready
}

# Its name can be guessed: somebody else may have made it.
own_base() {
    [ -n "$(find "$BASE" -maxdepth 0 -type d -user "$(id -u)" ! -perm /022)" ] \
        || fail "$BASE is not a directory of yours that nobody else can write to: remove it, or set VECTRION_UP_DIR"
}

start_all() {
    (umask 022 && mkdir -p "$BASE")
    own_base
    chmod 755 "$BASE"
    [ -s "$BASE/pepper" ] || (umask 077 && od -An -N32 -tx1 /dev/urandom | tr -d ' \n' >"$BASE/pepper")
    start_services
    export VECTRION_CONFIG="$PWD/config/distributed.toml" VECTRION_AUTH_PEPPER_FILE="$BASE/pepper"
    "$PROGRAMS/vectrion" migrate >&2
    local name
    for name in "${PROCESSES[@]}"; do start_process "$name"; done
    cat <<TEXT

Two servers and two workers run. Their data, logs and process numbers are in $BASE.

  Ask a server        $PROGRAMS/vectrion ask "your question" --data-dir $BASE/server-1/data --addr http://127.0.0.1:$(port_of server-1)
  The other server    http://127.0.0.1:$(port_of server-2)  (the same operator's key: $BASE/server-1/data/admin.key)
  Look at workers     $PROGRAMS/vectrion admin workers --data-dir $BASE/server-1/data --addr http://127.0.0.1:$(port_of server-1)
  Health, metrics     http://127.0.0.1:$(port_of server-1-metrics)/healthz  http://127.0.0.1:$(port_of worker-1-metrics)/metrics
  Stop                make down
TEXT
}

stop_all() {
    [ -e "$BASE" ] || [ -L "$BASE" ] || { say "nothing runs: there is no $BASE"; return; }
    own_base
    local name service
    for name in worker-2 worker-1 server-2 server-1; do
        NAME="$name" DIR="$BASE/$name"
        stop
    done
    for service in "${SERVICES[@]}"; do
        [ ! -d "$BASE/$service" ] || "scripts/services/$service" stop "$BASE/$service"
    done
    say "all is stopped; the data stay in $BASE"
}

case "${1:-}" in
    start) start_all ;;
    stop) stop_all ;;
    *) fail "usage: $0 start | stop" ;;
esac
