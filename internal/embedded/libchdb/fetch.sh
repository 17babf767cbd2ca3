#!/bin/sh
# Fetches the embedded ClickHouse library by its npm package's name and version, as package-lock.json pins them, into a cache folder outside the
# repository, and prints the library's path last. npm checks the package against the hash in the lock file. What is there already is used again.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
package=@chdb/lib-linux-x64-gnu
version=$(sed -n 's/.*"@chdb\/lib-linux-x64-gnu": "\(.*\)".*/\1/p' "$here/package.json")

case "${AUDITTRAIL_CACHE:-}" in
  "") case "$(uname -s)" in
    Darwin) cache=$HOME/Library/Caches ;;
    *) cache=${XDG_CACHE_HOME:-$HOME/.cache} ;;
  esac ;;
  *) cache=$AUDITTRAIL_CACHE ;;
esac
parent=$cache/audittrail/libchdb
dir=$parent/$version

# The stamp is "SIZE SHA256": whole files have that size.
if [ -f "$dir/stamp" ] && [ -f "$dir/libchdb.so" ] && [ "$(cut -d ' ' -f 1 "$dir/stamp")" = "$(wc -c <"$dir/libchdb.so" | tr -d ' ')" ]; then
  echo "$dir/libchdb.so"
  exit 0
fi

if [ "$(uname -s)-$(uname -m)" != Linux-x86_64 ]; then
  echo "The embedded ClickHouse is pinned for Linux on x86-64 only. Give a libchdb.so of your own with --libchdb, or use a ClickHouse server." >&2
  exit 1
fi
if ! command -v npm >/dev/null 2>&1; then
  echo "npm is missing: install Node.js with npm, then run make build again (it fetches the embedded ClickHouse)." >&2
  exit 1
fi

echo "Fetching the embedded ClickHouse ($package $version, about 180 MB packed, 570 MB on disk) into $dir" >&2
mkdir -p "$parent"
tmp=$(mktemp -d "$parent/.fetch-XXXXXX")
trap 'rm -rf "$tmp"' EXIT INT TERM
cp "$here/package.json" "$here/package-lock.json" "$tmp/"
if ! npm ci --prefix "$tmp" --ignore-scripts --no-audit --no-fund >&2; then
  echo "npm could not fetch $package $version; see its words above, then run make build again." >&2
  exit 1
fi
lib=$tmp/node_modules/$package/libchdb.so
if [ ! -f "$lib" ]; then
  echo "The package $package $version holds no libchdb.so." >&2
  exit 1
fi
sum=$( (sha256sum "$lib" 2>/dev/null || shasum -a 256 "$lib") | cut -d ' ' -f 1)
echo "$(wc -c <"$lib" | tr -d ' ') $sum" >"$tmp/stamp"
# Each file is put into place at once, the stamp last: a build that is cut off leaves no library that looks whole, and of two builds at the same time
# the second replaces the first one's files by the same bytes.
mkdir -p "$dir"
mv -f "$lib" "$dir/libchdb.so"
mv -f "$tmp/stamp" "$dir/stamp"
echo "$dir/libchdb.so"
