#!/usr/bin/env bash
# `make demo`: sets up, builds, starts a server on the embedded profile, ingests the sample documents, asks questions,
# streams the cited answers, and stops the server. Runs without a terminal too. Nothing is left running.
set -euo pipefail
cd "$(dirname "$0")/.."
say() { printf '\n==> %s\n' "$*"; }

say "Setting up and building. On a fresh machine this takes up to 20 minutes; a second time, seconds."
make --no-print-directory build

vectrion="$(pwd)/${CARGO_TARGET_DIR:-target}/release/vectrion"
[ -x "$vectrion" ] || vectrion="${CARGO_TARGET_DIR}/release/vectrion"
data="${VECTRION_DEMO_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/vectrion/demo}"
mkdir -p "$data"
# Settings of other servers on this machine are none of the demo's business; a chat model may be given.
for name in $(compgen -e | grep '^VECTRION_' || true); do
    case "$name" in VECTRION_MODELS_*|VECTRION_CACHE_DIR|VECTRION_ASSETS_DIR|VECTRION_DEMO_DIR) ;; *) unset "$name" ;; esac
done

say "Starting the server on the embedded profile: one process, no service to install. Its data is in $data"
log="$data/server.log"
: > "$log"
ready="$(mktemp)"
"$vectrion" serve --data-dir "$data" --listen 127.0.0.1:0 > "$ready" 2>> "$log" &
server=$!
stop() {
    trap - EXIT INT TERM
    kill -TERM "$server" 2>/dev/null && wait "$server" 2>/dev/null || true
    rm -f "$ready"
}
trap stop EXIT
trap 'stop; exit 130' INT TERM
for _ in $(seq 1 600); do
    [ -s "$ready" ] && break
    kill -0 "$server" 2>/dev/null || { echo "The server did not start:" >&2; tail -n 20 "$log" >&2; exit 1; }
    sleep 0.1
done
[ -s "$ready" ] || { echo "The server is not ready after 60 s; see $log" >&2; exit 1; }
cat "$ready"
address="$(grep -o 'http[s]*://[^ ]*' "$ready")"
export VECTRION_ADDR="$address"
run() { printf '\n$ vectrion %s\n' "$*"; "$vectrion" --data-dir "$data" "$@"; }

say "Ingesting the sample documents: extract, chunk, embed, index"
run ingest examples/documents --metadata source=demo --wait

say "Asking; each sentence is cited with document and page"
while IFS= read -r question; do
    [ -n "$question" ] && run ask "$question"
done < examples/questions.txt

say "Finding passages, by meaning and by words"
run search "$(tail -n 1 examples/questions.txt)" -k 2

cat <<TEXT

==> Done. The server stops now. To go on by yourself:

  Start it again      $vectrion serve --data-dir $data
  Ask                 $vectrion ask "your question" --data-dir $data
  Your own documents  $vectrion ingest PATH... --wait --data-dir $data
  See what is there   $vectrion documents list --data-dir $data
  With grpcurl        grpcurl -plaintext -H "authorization: Bearer \$(cat $data/admin.key)" \\
                        -d '{"question": "..."}' 127.0.0.1:50051 vectrion.v1.QueryService/Answer
  With a model that writes the answers, any OpenAI-compatible endpoint:
                      VECTRION_MODELS_CHAT=https://HOST/v1 VECTRION_MODELS_CHAT_MODEL=NAME \\
                      VECTRION_MODELS_CHAT_API_KEY=... $vectrion serve --data-dir $data
  Stop a server       Ctrl-C, or kill -TERM its process
TEXT
