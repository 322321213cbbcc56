/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuse/control.h - how `fspf umount` and the daemon talk: extended attributes of the mount's root
 *
 * The channel is the mount itself, so it needs no socket, no file and no trust in a name: who asks,
 * the kernel says, and whose volume it is, the path says.
 *
 *   fspf.*                  see fuse/view.h
 *   system.fspf.status      (on any file; by root or the daemon's owner) the state of the mount, as
 *                           JSON.  The length asked for is always the most that it can be, since
 *                           what it is may be more when the value is asked for.
 *   system.fspf.closing.N   (getxattr, by root or the daemon's owner) "descriptor N of mine is the
 *                           writing end of a pipe: tell me there how the volume is closed".  The
 *                           value is the daemon's process number, or 0 if the two live in
 *                           different name spaces of processes.
 *
 * The last is read and not set because setxattr(2) is refused on a read-only mount, and it stands
 * in the system. name space because everywhere else the kernel asks for rights on the root
 * directory, which the owner of the mount need not have.
 *
 * Into the pipe go lines: "closing" when the last user of the mount has gone and the volume is
 * being closed; "error STATUS TEXT" if that failed; "tag HEX", what the volume is left with (after
 * an error, the last one that was published); and the end of the file when the daemon exits.  The
 * end without a tag means that it died.
 */
#ifndef FSPF_FUSE_CONTROL_H
#define FSPF_FUSE_CONTROL_H

#define DAEMON_XATTR_STATUS "system.fspf.status"
#define DAEMON_STATUS_MAX 65536u /* bytes; the kernel's limit */
#define DAEMON_XATTR_CLOSING "system.fspf.closing."

/* Bytes with the newline: below PIPE_BUF, so a line arrives whole. */
#define DAEMON_LINE_MAX 1024u
#define DAEMON_LINE_CLOSING "closing\n"
#define DAEMON_LINE_TAG "tag %s\n"
#define DAEMON_LINE_ERROR "error %d %s\n"

#endif
