#!/bin/sh
# Makes a repository of the files in $1 and a second version of them, packs it, and prints what
# must not depend on the allocator.
set -eu
cd "$1"
rm -rf .git
git init -q .
git add .
git commit -q -m one
for file in *0.txt; do
    echo "another line" >>"$file"
done
git commit -q -a -m two
git gc -q --no-prune
git log --stat --format=%H -n 2
git rev-parse HEAD:
git diff HEAD~1 HEAD
git reset -q --hard HEAD~1
git fsck --full
