// s <<< $id, with the power-of-two histogram
#include "common.h"
#include "guarantees.h"

// rtap's histograms have buckets for negative numbers, and know how many numbers there were.
#ifdef SAME_GUARANTEES
struct hist {
	u64 count, slots[128];
};
#else
struct hist {
	u64 slots[64];
};
#endif

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct hist);
} s SEC(".maps");

static __always_inline u64 log2_slot(u64 v)
{
	u64 r = 0;

	if (v >> 32) { v >>= 32; r += 32; }
	if (v >> 16) { v >>= 16; r += 16; }
	if (v >> 8) { v >>= 8; r += 8; }
	if (v >> 4) { v >>= 4; r += 4; }
	if (v >> 2) { v >>= 2; r += 2; }
	return r + (v >> 1);
}

#ifdef SAME_GUARANTEES
static __always_inline void add(struct hist *h, s64 v)
{
	s64 sign = v >> 63, slot = log2_slot((v ^ sign) - sign);

	h->count++;
	h->slots[(((slot ^ sign) - sign) + 64) & 127]++;
}
#else
static __always_inline void add(struct hist *h, s64 v)
{
	h->slots[log2_slot(v) & 63]++;
}
#endif

SYS_ENTER int on_enter(u64 *ctx)
{
	u32 zero = 0;
	struct hist *h;

	if (ignored())
		return 0;
	h = bpf_map_lookup_elem(&s, &zero);
	if (h)
		add(h, ctx[1]);
	return 0;
}
