// Loads and attaches an object, waits for SIGINT (or not: --once), and prints what comes out of a
// ring buffer named `events`. What a small tracer in C costs. A program with rtap's guarantees is told
// when the session runs and who the loader is.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "print.h"
#include "session.h"

static volatile sig_atomic_t stop;

static void on_signal(int signal)
{
	(void)signal;
	stop = 1;
}

static int on_event(void *cx, void *data, size_t size)
{
	struct event *e = data;

	(void)cx;
	(void)size;
	printf("%u %s %u\n", e->pid, e->comm, e->id);
	return 0;
}

static int on_failure(void *cx, void *data, size_t size)
{
	struct failure *f = data;

	(void)cx;
	(void)size;
	fprintf(stderr, "error %llu (%llu)\n", f->site, f->argument);
	stop = 1;
	return 0;
}

int main(int argc, char **argv)
{
	struct bpf_object *object;
	struct bpf_program *program;
	struct session session = { .state = RUNNING, .self = getpid() };
	struct ring_buffer *ring = NULL;
	int events, failures, running, zero = 0;

	if (argc < 2)
		return 2;
	signal(SIGINT, on_signal);
	setvbuf(stdout, NULL, _IOFBF, 1 << 16);
	object = bpf_object__open_file(argv[1], NULL);
	if (!object || bpf_object__load(object)) {
		fprintf(stderr, "%s does not load: %s\n", argv[1], strerror(errno));
		return 1;
	}
	bpf_object__for_each_program(program, object) {
		if (!bpf_program__attach(program)) {
			fprintf(stderr, "%s does not attach: %s\n", argv[1], strerror(errno));
			return 1;
		}
	}
	running = bpf_object__find_map_fd_by_name(object, ".data.session");
	if (running >= 0)
		bpf_map_update_elem(running, &zero, &session, BPF_ANY);
	if (argc > 2 && !strcmp(argv[2], "--once"))
		return 0;
	events = bpf_object__find_map_fd_by_name(object, "events");
	if (events >= 0)
		ring = ring_buffer__new(events, on_event, NULL, NULL);
	failures = bpf_object__find_map_fd_by_name(object, "failures");
	if (failures >= 0)
		ring = ring_buffer__new(failures, on_failure, NULL, NULL);
	while (!stop) {
		if (ring) {
			ring_buffer__poll(ring, 100);
			fflush(stdout);
		} else {
			pause();
		}
	}
	if (ring)
		ring_buffer__consume(ring);
	return 0;
}
