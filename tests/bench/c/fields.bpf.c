// n += five members of structures, each behind two pointers of the task
#include "common.h"
#include "guarantees.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct mm_struct {
	int map_count;
};
struct signal_struct {
	int nr_threads;
};
struct fs_struct {
	int umask;
};
struct files_struct {
	u32 next_fd;
};
struct task_struct {
	struct task_struct *real_parent;
	struct mm_struct *mm;
	struct signal_struct *signal;
	struct fs_struct *fs;
	struct files_struct *files;
	int tgid;
};
#pragma clang attribute pop

s64 n;

SYS_ENTER int on_enter(u64 *ctx)
{
	struct task_struct *task;

	if (ignored())
		return 0;
	task = (struct task_struct *)bpf_get_current_task_btf();
	__sync_fetch_and_add(&n, (s64)task->real_parent->tgid + task->signal->nr_threads + task->mm->map_count +
					 task->fs->umask + task->files->next_fd);
	return 0;
}
