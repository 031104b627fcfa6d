// The record between print.bpf.c and loader.c.
#pragma once

struct event {
	unsigned int pid, id;
	char comm[16];
};
