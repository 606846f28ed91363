#!/bin/sh
# Install what the tests need beside Python packages: tmux, a real terminal for the console's tests.
set -eu
command -v tmux >/dev/null 2>&1 && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "Installing tmux ..."
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq tmux >/dev/null
else
    echo "The tests need tmux; install it, on Debian and Ubuntu with: sudo apt-get install tmux" >&2
    exit 1
fi
