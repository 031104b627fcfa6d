//! The kernel helpers that generated code calls. The number is `enum bpf_func_id`'s, the
//! comment the first kernel that has it.

/// A helper function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum Helper {
    /// `void *bpf_map_lookup_elem(map, key)`, 3.19.
    MapLookupElem = 1,
    /// `long bpf_map_update_elem(map, key, value, flags)`, 3.19.
    MapUpdateElem = 2,
    /// `long bpf_map_delete_elem(map, key)`, 3.19.
    MapDeleteElem = 3,
    /// `u64 bpf_ktime_get_ns()`, 4.1.
    KtimeGetNs = 5,
    /// `u32 bpf_get_prandom_u32()`, 4.1.
    GetPrandomU32 = 7,
    /// `u32 bpf_get_smp_processor_id()`, 4.1.
    GetSmpProcessorId = 8,
    /// `long bpf_tail_call(ctx, map, index)`, 4.2; never carried out, see `keep_to_the_stack`.
    TailCall = 12,
    /// `u64 bpf_get_current_pid_tgid()`, 4.2.
    GetCurrentPidTgid = 14,
    /// `u64 bpf_get_current_uid_gid()`, 4.2.
    GetCurrentUidGid = 15,
    /// `long bpf_get_current_comm(buf, size)`, 4.2.
    GetCurrentComm = 16,
    /// `u64 bpf_get_current_task()`, 4.8.
    GetCurrentTask = 35,
    /// `long bpf_get_stack(ctx, buf, size, flags)`, 4.18.
    GetStack = 67,
    /// `u64 bpf_get_current_cgroup_id()`, 4.18.
    GetCurrentCgroupId = 80,
    /// `long bpf_probe_read_user(dst, size, address)`, 5.5.
    ProbeReadUser = 112,
    /// `long bpf_probe_read_kernel(dst, size, address)`, 5.5.
    ProbeReadKernel = 113,
    /// `long bpf_probe_read_user_str(dst, size, address)`, 5.5.
    ProbeReadUserStr = 114,
    /// `long bpf_probe_read_kernel_str(dst, size, address)`, 5.5.
    ProbeReadKernelStr = 115,
    /// `long bpf_map_push_elem(map, value, flags)`, 4.20.
    MapPushElem = 87,
    /// `long bpf_map_pop_elem(map, value)`, 4.20.
    MapPopElem = 88,
    /// `u64 bpf_jiffies64()`, 5.6.
    Jiffies64 = 118,
    /// `u64 bpf_ktime_get_boot_ns()`, 5.8.
    KtimeGetBootNs = 125,
    /// `long bpf_ringbuf_output(map, data, size, flags)`, 5.8.
    RingbufOutput = 130,
    /// `void *bpf_ringbuf_reserve(map, size, flags)`, 5.8.
    RingbufReserve = 131,
    /// `void bpf_ringbuf_submit(sample, flags)`, 5.8.
    RingbufSubmit = 132,
    /// `long bpf_copy_from_user(dst, size, address)`, 5.10, where the program may sleep: 6.0.
    CopyFromUser = 148,
    /// `long bpf_for_each_map_elem(map, callback, context, flags)`, 5.13.
    ForEachMapElem = 164,
    /// `long bpf_snprintf(dst, size, format, data, data_size)`, 5.13.
    Snprintf = 165,
    /// `u64 bpf_get_func_ip(ctx)`, 5.15.
    GetFuncIp = 173,
    /// `u64 bpf_get_attach_cookie(ctx)`, 5.15.
    GetAttachCookie = 174,
    /// `struct task_struct *bpf_get_current_task_btf()`, 5.11.
    GetCurrentTaskBtf = 158,
    /// `struct pt_regs *bpf_task_pt_regs(task)`, 5.15.
    TaskPtRegs = 175,
    /// `u64 bpf_perf_event_read(map, flags)`, 4.3.
    PerfEventRead = 22,
    /// `void *bpf_map_lookup_percpu_elem(map, key, cpu)`, 5.19.
    MapLookupPercpuElem = 195,
}

impl Helper {
    /// Name as in the kernel, without `bpf_`.
    pub fn name(self) -> &'static str {
        match self {
            Helper::MapLookupElem => "map_lookup_elem",
            Helper::MapUpdateElem => "map_update_elem",
            Helper::MapDeleteElem => "map_delete_elem",
            Helper::MapPushElem => "map_push_elem",
            Helper::MapPopElem => "map_pop_elem",
            Helper::KtimeGetNs => "ktime_get_ns",
            Helper::GetPrandomU32 => "get_prandom_u32",
            Helper::GetSmpProcessorId => "get_smp_processor_id",
            Helper::GetCurrentPidTgid => "get_current_pid_tgid",
            Helper::GetCurrentUidGid => "get_current_uid_gid",
            Helper::ForEachMapElem => "for_each_map_elem",
            Helper::GetCurrentComm => "get_current_comm",
            Helper::TailCall => "tail_call",
            Helper::GetCurrentTask => "get_current_task",
            Helper::GetStack => "get_stack",
            Helper::GetCurrentCgroupId => "get_current_cgroup_id",
            Helper::ProbeReadUser => "probe_read_user",
            Helper::ProbeReadKernel => "probe_read_kernel",
            Helper::ProbeReadUserStr => "probe_read_user_str",
            Helper::ProbeReadKernelStr => "probe_read_kernel_str",
            Helper::Jiffies64 => "jiffies64",
            Helper::KtimeGetBootNs => "ktime_get_boot_ns",
            Helper::RingbufOutput => "ringbuf_output",
            Helper::RingbufReserve => "ringbuf_reserve",
            Helper::RingbufSubmit => "ringbuf_submit",
            Helper::CopyFromUser => "copy_from_user",
            Helper::Snprintf => "snprintf",
            Helper::GetFuncIp => "get_func_ip",
            Helper::GetAttachCookie => "get_attach_cookie",
            Helper::GetCurrentTaskBtf => "get_current_task_btf",
            Helper::TaskPtRegs => "task_pt_regs",
            Helper::PerfEventRead => "perf_event_read",
            Helper::MapLookupPercpuElem => "map_lookup_percpu_elem",
        }
    }
}
