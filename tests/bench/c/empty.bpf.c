// The floor: what an event costs before anything is done with it.
#include "common.h"

SYS_ENTER int on_enter(u64 *ctx)
{
	return 0;
}
