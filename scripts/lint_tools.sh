#!/usr/bin/env bash
# Fetches what `make lint` needs beside Rust: cargo-deny from crates.io, buf from npm. Versions are pinned; a second run
# finds them and does nothing.
set -euo pipefail
DENY_VERSION=0.20.2
BUF_VERSION=1.75.0
TOOLS="${VECTRION_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/vectrion}/tools"
mkdir -p "$TOOLS"
exec 9>"$TOOLS/.lock"
flock 9

deny="$TOOLS/cargo-deny-$DENY_VERSION"
if [ ! -x "$deny/bin/cargo-deny" ]; then
    echo "==> building cargo-deny $DENY_VERSION (once, a few minutes)"
    CARGO_TARGET_DIR="$TOOLS/build" cargo install --quiet --locked --version "$DENY_VERSION" --root "$deny" \
        --config 'profile.release.opt-level=0' --config 'profile.release.lto=false' \
        --config 'profile.release.codegen-units=64' --config 'profile.release.debug=false' cargo-deny
    rm -rf "$TOOLS/build"
fi

buf="$TOOLS/buf-$BUF_VERSION"
if [ ! -x "$buf/node_modules/.bin/buf" ]; then
    echo "==> fetching buf $BUF_VERSION"
    npm install --silent --no-fund --no-audit --no-package-lock --prefix "$buf" "@bufbuild/buf@$BUF_VERSION"
fi
