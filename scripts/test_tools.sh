#!/usr/bin/env bash
# Sets up what the tests of the example programs need: a Python environment with generated stubs, the compiled TypeScript
# example, grpcurl. Everything goes to the cache and is made anew only when its inputs change.
set -euo pipefail
cd "$(dirname "$0")/.."
CACHE="${VECTRION_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/vectrion}/examples"
GRPCURL_VERSION=v1.9.3
mkdir -p "$CACHE"
exec 9>"$CACHE/.lock"
flock 9
stamp() { cat "$@" | sha256sum | cut -c1-16; }

key="$(stamp examples/python/requirements.txt proto/vectrion/v1/*.proto)"
if [ "$(cat "$CACHE/python/.stamp" 2>/dev/null)" != "$key" ]; then
    echo "==> setting up the Python example"
    rm -rf "$CACHE/python"
    python3 -m venv "$CACHE/python/venv"
    "$CACHE/python/venv/bin/pip" install --quiet --disable-pip-version-check -r examples/python/requirements.txt
    mkdir -p "$CACHE/python/stubs"
    "$CACHE/python/venv/bin/python" -m grpc_tools.protoc -I proto --python_out="$CACHE/python/stubs" \
        --grpc_python_out="$CACHE/python/stubs" proto/vectrion/v1/*.proto
    echo "$key" > "$CACHE/python/.stamp"
fi

key="$(find examples/typescript -maxdepth 2 -type f -not -path '*/gen/*' -not -path '*/dist/*' -print0 | sort -z | xargs -0 cat | sha256sum | cut -c1-16)-$(stamp proto/vectrion/v1/*.proto)"
if [ "$(cat "$CACHE/typescript/.stamp" 2>/dev/null)" != "$key" ]; then
    echo "==> setting up the TypeScript example"
    rm -rf "$CACHE/typescript"
    mkdir -p "$CACHE/typescript"
    cp -r examples/typescript/{package.json,package-lock.json,buf.gen.yaml,tsconfig.json,src} "$CACHE/typescript/" 2>/dev/null \
        || cp -r examples/typescript/{package.json,buf.gen.yaml,tsconfig.json,src} "$CACHE/typescript/"
    (cd "$CACHE/typescript" && npm install --silent --no-fund --no-audit)
    (cd "$CACHE/typescript" && PATH="$PWD/node_modules/.bin:$PATH" buf generate "$OLDPWD/proto" --template buf.gen.yaml && node_modules/.bin/tsc)
    echo "$key" > "$CACHE/typescript/.stamp"
fi

if [ ! -x "$CACHE/bin/grpcurl-$GRPCURL_VERSION" ]; then
    echo "==> building grpcurl $GRPCURL_VERSION"
    GOBIN="$CACHE/bin" GOFLAGS=-mod=mod go install "github.com/fullstorydev/grpcurl/cmd/grpcurl@$GRPCURL_VERSION"
    mv "$CACHE/bin/grpcurl" "$CACHE/bin/grpcurl-$GRPCURL_VERSION"
    ln -sf "grpcurl-$GRPCURL_VERSION" "$CACHE/bin/grpcurl"
fi
