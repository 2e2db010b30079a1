#!/usr/bin/env bash
# Every test, and the end-to-end suite a second time on the distributed profile. Needs the services of `scripts/services/run`.
set -uo pipefail
cd "$(dirname "$0")/.."
CARGO="${CARGO:-cargo}"
failed=0
"$CARGO" test --locked --workspace --no-fail-fast || failed=1
echo "==> end to end on the distributed profile: a worker apart, PostgreSQL, RabbitMQ, Redis, S3 and a vector server"
# Left out is what starts processes with profiles of its own, and has run already.
VECTRION_TEST_PROFILE=distributed "$CARGO" test --locked --workspace --test e2e -- \
    --skip cancel:: --skip operations:: --skip processes:: --skip queue:: --skip vector_server:: --skip disk_full:: || failed=1
exit $failed
