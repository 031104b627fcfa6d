// printf("%d %s %d\n", pid(), execname(), $id) for each getppid
#include "common.h"
#include "print.h"

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4 << 20);
} events SEC(".maps");

u64 lost;

SYS_ENTER int on_enter(u64 *ctx)
{
	struct event *e;

	if (ctx[1] != 110)
		return 0;
	e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e) {
		__sync_fetch_and_add(&lost, 1);
		return 0;
	}
	e->pid = bpf_get_current_pid_tgid() >> 32;
	e->id = ctx[1];
	bpf_get_current_comm(e->comm, sizeof(e->comm));
	bpf_ringbuf_submit(e, 0);
	return 0;
}
