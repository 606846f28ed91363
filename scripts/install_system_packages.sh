#!/bin/sh
# Install what the tests need beside Python packages: tmux, a real terminal for the console's tests, and Chromium, a
# real browser for the page's.
set -eu
missing=""
for program in tmux chromium; do
    command -v "$program" >/dev/null 2>&1 || missing="$missing $program"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "Installing$missing ..."
    apt-get update -qq
    # shellcheck disable=SC2086 -- one word a package
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $missing >/dev/null
else
    echo "The tests need$missing; install it, on Debian with: sudo apt-get install$missing" >&2
    exit 1
fi
