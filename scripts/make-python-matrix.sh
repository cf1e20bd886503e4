#!/usr/bin/env bash
# Newer Pythons than the machine has, in a Debian testing chroot: make-python-matrix.sh DIRECTORY
#
# Idempotent. Needs root and debootstrap (installed where missing). The mirror is the one that this machine's apt uses.
set -euo pipefail

root=${1:?usage: make-python-matrix.sh DIRECTORY}
packages=(python3.14 python3.14-venv python3.15 python3.15-venv libgfortran5 libjemalloc2 libtcmalloc-minimal4t64)
# Another list makes another chroot.
done_mark=$root/.complete-$(cksum <<<"${packages[*]}" | cut -d ' ' -f 1)

if [[ -e $done_mark ]]; then
  exit 0
fi
if [[ $(id -u) != 0 ]]; then
  echo "A chroot can only be made by root: run this as root, or test with the Pythons that are installed." >&2
  exit 1
fi
command -v debootstrap >/dev/null || { apt-get update -qq && apt-get install -y -qq debootstrap >/dev/null; }

# The first URI of a main Debian archive, from either format of sources.
mirror=$(
  {
    awk '/^URIs:/ {print $2}' /etc/apt/sources.list.d/*.sources
    awk '/^deb / {for (i = 2; i <= NF; i++) if ($i ~ /^http/) print $i}' /etc/apt/sources.list
  } 2>/dev/null | awk '/\/debian\/?$/ {print; exit}'
) || true
: "${mirror:?no Debian mirror found in the sources of apt}"

rm -rf "$root"
mkdir -p "$root"
# Debian 12's debootstrap has no script for forky; sid's serves.
debootstrap --variant=minbase --include=ca-certificates forky "$root" "$mirror" sid >"$root.log" 2>&1 || {
  tail -n 20 "$root.log" >&2
  exit 1
}

# What lets apt and pip work on this machine lets them work in there.
apt-config dump | grep -E '^Acquire::(Check-|http|https|Retries)' >"$root/etc/apt/apt.conf.d/90machine" || true
cp /etc/resolv.conf "$root/etc/resolv.conf" 2>/dev/null || true
cp -r /usr/local/share/ca-certificates/. "$root/usr/local/share/ca-certificates/" 2>/dev/null || true
cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt" 2>/dev/null || true
[[ -e /etc/pip.conf ]] && cp /etc/pip.conf "$root/etc/pip.conf"

chroot "$root" sh -c "apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq ${packages[*]}" >>"$root.log" 2>&1 || {
  tail -n 20 "$root.log" >&2
  exit 1
}
touch "$done_mark"
