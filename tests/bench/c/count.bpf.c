// n++
#include "common.h"
#include "guarantees.h"

u64 n;

SYS_ENTER int on_enter(u64 *ctx)
{
	if (ignored())
		return 0;
	__sync_fetch_and_add(&n, 1);
	return 0;
}
