#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# A git repository in the mount: init, clone, branches, merge, gc, fsck, and a clean status after a
# remount (which needs stable inode numbers and times).
source "$(dirname "$0")/lib.sh"
need_mount
need git
export GIT_CONFIG_GLOBAL=$T/gitconfig GIT_CONFIG_NOSYSTEM=1
git config --file "$T/gitconfig" user.name tester
git config --file "$T/gitconfig" user.email tester@example.invalid
git config --file "$T/gitconfig" init.defaultBranch main
git config --file "$T/gitconfig" gc.auto 0

tree make "$T/tree" "$(pick 2500 500)" "$SEED"
note "a repository outside to clone from"
git -C "$T/tree" init -q
git -C "$T/tree" add -A
git -C "$T/tree" commit -q -m 'all of it'

make_volume
start
git clone -q --no-hardlinks "$T/tree" "$M/clone"
git -C "$M/clone" fsck --full --strict >/dev/null 2>"$T/err" || fail "fsck after clone"
[[ -z $(git -C "$M/clone" status --porcelain) ]] || fail "not clean after clone"
cd "$M/clone" || fail "cd"
for ((i = 0; i < 20; i++)); do
	git checkout -q -b "branch_$i" main
	echo "change $i" >>"file_$i"
	git add -A
	git commit -q -m "change $i"
done
git checkout -q main
for ((i = 0; i < 20; i++)); do git merge -q --no-edit "branch_$i" >/dev/null || fail "merge $i"; done
git worktree add -q ../worktree branch_3
git gc -q --prune=now
git fsck --full --strict >/dev/null 2>"$T/err" || fail "fsck after gc"
head=$(git rev-parse HEAD)
cd "$T" || fail "cd"
restart
[[ $(git -C "$M/clone" rev-parse HEAD) == "$head" ]] || fail "another HEAD"
git -C "$M/clone" fsck --full --strict >/dev/null 2>"$T/err" || fail "fsck after a remount"
[[ -z $(git -C "$M/clone" status --porcelain) ]] || fail "not clean after a remount"
git clone -q "$M/clone" "$M/linked" || fail "clone with hard links inside"
rm -rf "$M/clone"
git -C "$M/linked" fsck --full >/dev/null 2>"$T/err" || fail "fsck of the clone of the clone"
stop
verify_clean
pass
