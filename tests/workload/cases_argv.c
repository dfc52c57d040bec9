// SPDX-License-Identifier: MIT OR Apache-2.0
// Argument vectors that are hard to carry.
#include "workload.h"

#include <stdlib.h>
#include <string.h>

static void run_argv(const char *label, char **argv)
{
	struct slot *s = slot_reset(0, label);

	step_add(s, HOW_EXECVE, 0);
	slot_spawn_argv(s, argv);
	slot_wait(s);
	emit_slot_argv(s, argv);
}

static int argv_odd(int argc, char **argv)
{
	char *t = sh->tag;

	(void)argc, (void)argv;
	run_argv("empty-arguments", (char *[]){ t, "", "a", "", "", "b", NULL });
	run_argv("last-empty", (char *[]){ t, "a", "", NULL });
	run_argv("all-empty", (char *[]){ "", "", "", NULL });
	run_argv("only-empty", (char *[]){ "", NULL });
	run_argv("newlines", (char *[]){ t, "a\nb", "\n", "c\r\n", "\t", NULL });
	run_argv("escapes",
		 (char *[]){ t, "\033[2J\033]0;title\007", "\x01\x7f\x1b", "\x9b", NULL });
	run_argv("invalid-utf8", (char *[]){ t, "\xff\xfe", "a\xc3", "\xe2\x82", "\xc3\xa9",
					     "\xed\xa0\x80", "\xf4\x90\x80\x80", NULL });
	run_argv("quotes", (char *[]){ t, "it's", "\"", "\\", "$HOME `x`", " ", NULL });
	run_argv("no-arguments", (char *[]){ NULL });
	return 0;
}

/* n arguments of size bytes each (the tag not counted), all different. */
static void run_many(const char *label, int n, int size)
{
	char **v = calloc((size_t)n + 2, sizeof(*v));

	if (!v)
		die("memory");
	v[0] = sh->tag;
	for (int i = 1; i <= n; i++) {
		v[i] = malloc((size_t)size + 16);
		if (!v[i])
			die("memory");
		memset(v[i], 'a' + i % 26, (size_t)size + 15);
		v[i][snprintf(v[i], 16, "%d", i)] = '.';
		v[i][size] = 0;
	}
	run_argv(label, v);
	for (int i = 1; i <= n; i++)
		free(v[i]);
	free(v);
}

static int argv_long(int argc, char **argv)
{
	(void)argc, (void)argv;
	run_many("one-of-100KB", 1, 100003);
	run_many("100KB", 97, 1031);
	run_many("20000-arguments", 20011, 5);
	run_many("30KB", 29, 1021);
	run_many("3KB", 3, 1021);
	return 0;
}

/* N vectors whose whole length is FROM, FROM+1 … bytes, NULs counted: around the bound. */
static int argv_sizes(int argc, char **argv)
{
	int from = argc > 0 ? atoi(argv[0]) : 4090, n = argc > 1 ? atoi(argv[1]) : 13;
	int tag = (int)strlen(sh->tag) + 1;

	for (int i = 0; i < n; i++)
		run_many("size", 1, from + i - tag - 1);
	return 0;
}

const struct wcase argv_cases[] = {
	{ "argv-odd", "", argv_odd },
	{ "argv-long", "", argv_long },
	{ "argv-sizes", "[FROM N]", argv_sizes },
	{ 0 },
};
