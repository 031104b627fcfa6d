// a[execname()]++
#include "common.h"
#include "guarantees.h"

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

	if (ignored())
		return 0;
	bpf_get_current_comm(key.comm, sizeof(key.comm));
	count(&a, &key);
	return 0;
}
