#!/usr/bin/env bash
# Debian's Chromium without a window, if there is none: as root.
set -euo pipefail
type chromium-headless-shell >/dev/null 2>&1 && exit
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends chromium-headless-shell
