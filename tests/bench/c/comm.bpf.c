// a[execname()]++
#include "common.h"

struct key {
	char comm[16];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 2048);
	__type(key, struct key);
	__type(value, u64);
} a SEC(".maps");

SYS_ENTER int on_enter(u64 *ctx)
{
	struct key key = {};
	u64 one = 1, *n;

	bpf_get_current_comm(key.comm, sizeof(key.comm));
	n = bpf_map_lookup_elem(&a, &key);
	if (n)
		__sync_fetch_and_add(n, 1);
	else
		bpf_map_update_elem(&a, &key, &one, BPF_NOEXIST);
	return 0;
}
