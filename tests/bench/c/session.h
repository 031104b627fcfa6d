// What the loader and programs with rtap's guarantees share.
#pragma once

enum state { STARTING, RUNNING, STOPPING, FAILED };

// In the map `.data.session`.
struct session {
	unsigned long long state, self, errors, max_errors, skipped;
};

// A record in the ring buffer `failures`.
struct failure {
	unsigned long long site, argument;
};
