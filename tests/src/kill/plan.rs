//! What is run to be killed: everything that rtap can have in the kernel or beside it. All say `ready`.

/// Counts calls of functions of the kernel, however they are probed.
const FUNCTIONS: &str = "global n probe begin { println(\"ready\") }
    probe kernel.function(\"vfs_*\")? { n[ppfunc()]++ } probe kernel.function(\"vfs_read\").return? { n[\"r\"]++ }";

/// Names, and the arguments of `rtap`.
pub const PLANS: &[(&str, &[&str])] = &[
    (
        "system calls, arrays, printing",
        &[
            "run",
            "-t",
            "-e",
            "global n, s, w%[64] probe begin { println(\"ready\") }
             probe syscall.* { n[execname(), name]++; s[pid()] <<< 1; w[tid()] = pp() printf(\"%s %s\\n\", name, argstr) }
             probe end { foreach ([e, c] in n-) println(e, c, n[e, c]); print(@hist_log(s[0])) }",
        ],
    ),
    (
        "tracepoints and stacks",
        &[
            "run",
            "-e",
            "global n probe begin { println(\"ready\") }
             probe kernel.trace(\"sched_*\") { n[pp(), tid()]++ }
             probe kernel.trace(\"sched_switch\") { println(backtrace(), ubacktrace()) }
             probe timer.ms(1) { delete n }",
        ],
    ),
    (
        "functions of the kernel",
        &[
            "run",
            "-e",
            FUNCTIONS,
        ],
    ),
    (
        "functions of the kernel, by kprobes",
        &[
            "run",
            "--kprobe-style",
            "kprobe",
            "-e",
            FUNCTIONS,
        ],
    ),
    (
        "functions of a program, sleeping and at marks",
        &[
            "run",
            "-e",
            "probe begin { println(\"ready\") }
             probe process(\"workload\").function(\"rtap_workload_*\") { println(ppfunc(), user_string(pointer_arg(1))) }
             probe process(\"workload\").function(\"rtap_workload_fn\").return { println(returnval()) }
             probe process(\"workload\").mark(\"*\") { println($$vars) }",
            "-c",
            "workload call-function 3000",
        ],
    ),
    (
        "marks with semaphores",
        &[
            "run",
            "-e",
            "probe begin { println(\"ready\") } probe process(\"workload\").mark(\"*\") { println($$vars) }",
            "-c",
            "workload marks 3000",
        ],
    ),
    (
        "perf events and a breakpoint",
        &[
            "run",
            "-e",
            "global n probe begin { println(\"ready\") } probe timer.profile { n[backtrace()]++ }
             probe perf.sw.cpu_clock { n[\"clock\"]++ } probe perf.sw.page_faults { n[\"faults\"]++ }
             probe kernel.data(\"jiffies\").write? { n[\"jiffies\"]++ }",
        ],
    ),
    (
        "a command that is held back for long",
        &[
            "run",
            "-e",
            "probe begin { println(\"ready\") } probe process.begin, process.end { println(execname()) }
             probe syscall.* { if (pid() == target()) println(name, argstr) }",
            "-c",
            "workload sleep 0.2; workload fork 20",
        ],
    ),
    (
        "commands and another process",
        &[
            "run",
            "-x",
            "1",
            "-e",
            "probe begin { println(\"ready\") system(\"sleep 0.1\") }
             probe timer.ms(50) { system(\"true\") } probe syscall.* { if (pid() == target()) println(name) }",
        ],
    ),
    (
        "endless printing",
        &[
            "run",
            "-e",
            "probe begin { println(\"ready\") } probe timer.ms(1) { for (i = 0; i < 500; i++) println(i) }
             probe kernel.trace(\"sys_enter\") { printf(\"%d %s\\n\", $id, execname()) }",
        ],
    ),
];
