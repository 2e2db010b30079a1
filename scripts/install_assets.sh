#!/usr/bin/env bash
# Puts the fetched libraries and models beside the program: install_assets.sh DIR makes DIR/assets. Hard links where the
# file system allows, so that it costs no room; a second run changes nothing.
set -euo pipefail
target="${1:?the directory of the program}"
source="${VECTRION_ASSETS_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/vectrion/assets}"
[ -d "$source" ] || { echo "no assets in $source: run 'make assets'" >&2; exit 1; }
mkdir -p "$target/assets"
(cd "$source" && find . -type f ! -name '.*' -print0) | while IFS= read -r -d '' file; do
    from="$source/$file"; to="$target/assets/$file"
    if [ -e "$to" ] && { [ "$from" -ef "$to" ] || cmp -s "$from" "$to"; }; then continue; fi
    mkdir -p "$(dirname "$to")"
    ln -f "$from" "$to" 2>/dev/null || { cp -f "$from" "$to.new" && mv -f "$to.new" "$to"; }
done
