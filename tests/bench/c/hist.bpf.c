// s <<< $id, with the power-of-two histogram
#include "common.h"

struct hist {
	u64 slots[64];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct hist);
} s SEC(".maps");

static __always_inline u32 log2_slot(u64 v)
{
	u32 r = 0;

	if (v >> 32) { v >>= 32; r += 32; }
	if (v >> 16) { v >>= 16; r += 16; }
	if (v >> 8) { v >>= 8; r += 8; }
	if (v >> 4) { v >>= 4; r += 4; }
	if (v >> 2) { v >>= 2; r += 2; }
	return r + (v >> 1);
}

SYS_ENTER int on_enter(u64 *ctx)
{
	u32 zero = 0;
	struct hist *h = bpf_map_lookup_elem(&s, &zero);

	if (h)
		h->slots[log2_slot(ctx[1]) & 63]++;
	return 0;
}
