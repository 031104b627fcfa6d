// a[pid()]++
#include "common.h"
#include "guarantees.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 2048);
	__type(key, u32);
	__type(value, u64);
} a SEC(".maps");

SYS_ENTER int on_enter(u64 *ctx)
{
	u32 pid = bpf_get_current_pid_tgid() >> 32;

	if (ignored_task(pid))
		return 0;
	count(&a, &pid);
	return 0;
}
