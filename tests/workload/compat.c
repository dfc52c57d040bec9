// SPDX-License-Identifier: MIT OR Apache-2.0
// execve and execveat by the kernel's 32-bit entry, from a 64-bit program.
#include "workload.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef __x86_64__

static long call32(long nr, uint32_t a, uint32_t b, uint32_t c, uint32_t d, uint32_t e)
{
	long ret;

	asm volatile("int $0x80"
		     : "=a"(ret)
		     : "a"(nr), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e)
		     : "memory", "r8", "r9", "r10", "r11");
	return (int)ret;
}

/* Memory below 4 GiB, handed out from the front. */
static char *low, *low_next;

static uint32_t low_copy(const void *from, size_t n)
{
	char *to = low_next;

	memcpy(to, from, n);
	low_next += (n + 7) & ~7ul;
	return (uint32_t)(uintptr_t)to;
}

static uint32_t low_vector(char **v)
{
	uint32_t list[65];
	size_t n = 0;

	for (; v[n]; n++)
		list[n] = low_copy(v[n], strlen(v[n]) + 1);
	list[n] = 0;
	return low_copy(list, (n + 1) * sizeof(*list));
}

/* A kernel without the entry answers with a signal. */
bool compat_works(void)
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(call32(20, 0, 0, 0, 0, 0) != getpid());
	return waitpid(pid, &status, 0) == pid && status == 0;
}

void compat_exec(const char *path, char **argv, char **env, bool at)
{
	uint32_t p, a, e;

	low = low_next = mmap(NULL, 1 << 16, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	if (low == MAP_FAILED)
		die("memory below 4 GiB");
	p = low_copy(path, strlen(path) + 1);
	a = low_vector(argv);
	e = low_vector(env);
	if (at)
		call32(358, (uint32_t)AT_FDCWD, p, a, e, 0);
	else
		call32(11, p, a, e, 0, 0);
}

#else

bool compat_works(void)
{
	return false;
}

void compat_exec(const char *path, char **argv, char **env, bool at)
{
	(void)path, (void)argv, (void)env, (void)at;
}

#endif
