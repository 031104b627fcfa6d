// Runs a command and writes to the file named first: wall time, user and system time (all in
// nanoseconds) and peak resident memory (KiB). Small, so that its own memory does not count.
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

static pid_t child;

static void pass_on(int signal)
{
	kill(child, signal);
}

static long long ns(struct timeval t)
{
	return t.tv_sec * 1000000000LL + t.tv_usec * 1000LL;
}

int main(int argc, char **argv)
{
	struct timespec from, to;
	struct rusage usage;
	int status = 0;
	FILE *report;

	if (argc < 3)
		return 2;
	clock_gettime(CLOCK_MONOTONIC, &from);
	child = vfork();
	if (child == 0) {
		execvp(argv[2], argv + 2);
		_exit(127);
	}
	signal(SIGINT, pass_on);
	while (wait4(child, &status, 0, &usage) < 0)
		;
	clock_gettime(CLOCK_MONOTONIC, &to);
	report = fopen(argv[1], "w");
	if (!report)
		return 2;
	fprintf(report, "%lld %lld %lld %ld\n",
		(to.tv_sec - from.tv_sec) * 1000000000LL + to.tv_nsec - from.tv_nsec,
		ns(usage.ru_utime), ns(usage.ru_stime), usage.ru_maxrss);
	fclose(report);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
