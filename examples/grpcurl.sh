#!/usr/bin/env bash
# Asks a question with grpcurl: the answer's events as JSON, one after the other.
#
#   VECTRION_ADDR=http://127.0.0.1:50051 VECTRION_API_KEY=vk_… examples/grpcurl.sh "QUESTION"
set -euo pipefail
question="${1:?usage: grpcurl.sh QUESTION}"
address="${VECTRION_ADDR#*://}"
grpcurl -plaintext -H "authorization: Bearer $VECTRION_API_KEY" \
    -d "$(python3 -c 'import json, sys; print(json.dumps({"question": sys.argv[1]}))' "$question")" \
    "$address" vectrion.v1.QueryService/Answer
