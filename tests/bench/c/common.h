// What the hand-written programs share. All are attached to raw_syscalls:sys_enter, whose
// arguments are the registers (ctx[0]) and the system call's number (ctx[1]).
#pragma once
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define SYS_ENTER SEC("tp_btf/sys_enter")
typedef unsigned long long u64;
typedef long long s64;
typedef unsigned int u32;

char LICENSE[] SEC("license") = "GPL";
