// n++
#include "common.h"

u64 n;

SYS_ENTER int on_enter(u64 *ctx)
{
	__sync_fetch_and_add(&n, 1);
	return 0;
}
