#!/bin/sh
# Pushes the documents of this folder as one bundle; on a branch it only shows what would change.
#
#   OPRC_SERVER   URL of the Package Manager
#   OPRC_TOKEN    token of the pipeline
#   BUNDLE        name of the bundle (gitops-orders)
#
# pipeline.sh review|deploy
set -eu
cd "$(dirname "$0")"
bundle="${BUNDLE:-gitops-orders}"

case "${1:-}" in
review)
  # 0: no difference; 1: a difference, which was shown; 2: trouble.
  status=0
  oprc diff -f . --bundle "$bundle" --prune || status=$?
  [ "$status" -le 1 ]
  ;;
deploy)
  oprc apply -f . --bundle "$bundle" --prune --wait --timeout 10m \
    --source-repository "$(git config --get remote.origin.url || echo unknown)" \
    --source-commit "$(git rev-parse HEAD)"
  ;;
*)
  echo "usage: $0 review|deploy" >&2
  exit 2
  ;;
esac
