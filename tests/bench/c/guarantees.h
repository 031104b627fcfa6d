// What rtap's programs see to. With -DSAME_GUARANTEES those in C do as well: nothing happens before
// the session runs, after it ended, or for what the tracer itself does; a full array is reported and ends
// the session; an element that another processor makes at the same time is counted up all the same;
// what the kernel refuses to do is counted.
#pragma once
#include "session.h"

#ifdef SAME_GUARANTEES

#define EEXIST 17
#define E2BIG 7

struct session session SEC(".data.session") = {};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} failures SEC(".maps");

static __always_inline int ignored_task(u32 pid)
{
	return session.state != RUNNING || pid == session.self;
}

static __always_inline int ignored(void)
{
	return ignored_task(bpf_get_current_pid_tgid() >> 32);
}

static __always_inline void fail(u64 site, u64 argument)
{
	struct failure failure = { site, argument };

	__sync_fetch_and_add(&session.errors, 1);
	if (session.errors > session.max_errors)
		session.state = FAILED;
	bpf_ringbuf_output(&failures, &failure, sizeof(failure), 0);
}

// (*map)[*key]++
static __always_inline void count(void *map, const void *key)
{
	u64 one = 1, *n = bpf_map_lookup_elem(map, key);
	long error;

	if (!n) {
		error = bpf_map_update_elem(map, key, &one, BPF_NOEXIST);
		if (!error)
			return;
		if (error == -E2BIG) {
			fail(0, 0);
			return;
		}
		if (error != -EEXIST) {
			__sync_fetch_and_add(&session.skipped, 1);
			return;
		}
		n = bpf_map_lookup_elem(map, key);
		if (!n)
			return;
	}
	__sync_fetch_and_add(n, 1);
}

#else

static __always_inline int ignored_task(u32 pid)
{
	return 0;
}

static __always_inline int ignored(void)
{
	return 0;
}

// (*map)[*key]++
static __always_inline void count(void *map, const void *key)
{
	u64 one = 1, *n = bpf_map_lookup_elem(map, key);

	if (n)
		__sync_fetch_and_add(n, 1);
	else
		bpf_map_update_elem(map, key, &one, BPF_NOEXIST);
}

#endif
