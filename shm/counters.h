/* counters.h: the ledger of a channel, for the gateway, which holds its segment without an attachment. */
#ifndef SHMGATE_COUNTERS_H
#define SHMGATE_COUNTERS_H

#include "segment.h"
#include "shared_memory.h"

/* Add up the lanes of a channel (index below layout.channel_count). counters->topic is left NULL. Never fails. */
void counters_collect(const struct segment *segment, uint32_t channel, struct shared_memory_counters *counters);

/* The same for one lane (index below layout.lane_count): what happened in this segment. name and topic are left empty.
 */
void counters_collect_lane(const struct segment *segment, uint32_t lane, struct shared_memory_counters *counters);

/* What the next segment is to carry of this channel: its rings' part of the counters. What was moved to the spool is
 * only counted as taken. */
void counters_carry(const struct segment *segment, uint32_t channel, struct ring_carried *carried);

/* The reason in the ledger for one of the LAYOUT_SPOOL_DROPS kinds of loss in the spool: size, age, refused, failed. */
enum layout_drop counters_spool_drop(unsigned kind);

/* Write the ledger of all channels as one JSON object, NUL-terminated:
 *   {"segment": "/shmgate", "gateway": true, "link": "up", "spool": {"state": "ok", "bytes": 0}, "channels": [{"name":
 * ..., "direction": "publish", "topic": ..., "lanes": 4, "written": 5, "delivered": 3, "queued": 2, "spooled": 0,
 * "filtered": 0, "rejected": 0, "dropped": {"overwritten": 1}, "latency_us": {"write_to_send": {"p50": 20, "p99": 40,
 * "p99.9": 60, "max": 70}, "send_to_ack": {...}}, "by_lane": [{"lane": 0, "written": ..., as above}, ...]}, ...]}
 * "dropped" has the reasons that occurred; "by_lane" the lanes of this segment that were ever written to, of publish
 * channels; "latency_us", of the last minute or so, is there when there were messages. The text is always valid UTF-8
 * and JSON, whatever the segment holds. Returns its length without the NUL; when that is not below `size` the text was
 * cut: come again with more room. */
size_t counters_json(const struct segment *segment, const char *name, char *buffer, size_t size);

#endif
