/* group_lookup.h: the number of a group of users, in bounded time.
 *
 * Whether a group is in /etc/group or behind a name server is the machine's affair (nsswitch.conf(5)), and such a
 * server may not answer. The loop's thread cannot wait for that: a thread asks, and is left behind when it takes long.
 */
#ifndef SHMGATE_GROUP_LOOKUP_H
#define SHMGATE_GROUP_LOOKUP_H

#define GROUP_LOOKUP_MS 2000

/* Find the group's number. Waits GROUP_LOOKUP_MS at most. Returns 0; -ENOENT there is no such group; -ETIMEDOUT nobody
 * answers; -ENOMEM; or -errno of getgrnam_r(3) or pthread_create(3). */
int group_lookup(const char *name, long *gid);

#endif
