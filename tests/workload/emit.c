// SPDX-License-Identifier: MIT OR Apache-2.0
// What an exact observer must report, as JSON lines.
#include "workload.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static FILE *out;

/* Where lines go; NULL: stdout. Storm workers keep theirs until the storm is over. */
void emit_to(FILE *f)
{
	out = f;
}

static FILE *to(void)
{
	return out ? out : stdout;
}

static void put_hex(const char *text)
{
	static const char digit[] = "0123456789abcdef";

	putc('"', to());
	for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
		putc(digit[*p >> 4], to());
		putc(digit[*p & 15], to());
	}
	putc('"', to());
}

static void put_argv(const struct step *st, char **argv)
{
	const char *p = st->args;
	int i = 0;

	fprintf(to(), "\"argv_hex\":[");
	if (argv) {
		for (; argv[i]; i++) {
			if (i)
				putc(',', to());
			put_hex(argv[i]);
		}
		/* Since 5.18 the kernel gives whoever has none an empty one. */
		for (; i < st->argc; i++)
			fprintf(to(), "%s\"\"", i ? "," : "");
	} else {
		for (; i < st->n_args; i++, p += strlen(p) + 1) {
			if (i)
				putc(',', to());
			put_hex(p);
		}
	}
	fprintf(to(), "],");
}

static bool same_args(const struct step *a, const struct step *b)
{
	return a->n_args == b->n_args && !memcmp(a->args, b->args, sizeof(a->args));
}

enum gap { GAP_SHORT, GAP_LONG, GAP_UNSURE };

/* Whether the two execs were within a second of each other, as far as stamps can tell. */
static enum gap gap(const struct step *a, const struct step *b)
{
	if (b->entry_ns - a->pre_ns <= 1000 * MS)
		return GAP_SHORT;
	return b->pre_ns - a->entry_ns > 1000 * MS ? GAP_LONG : GAP_UNSURE;
}

static void put_status(const struct slot *s, bool by_exec)
{
	int status = s->status;

	if (by_exec)
		fprintf(to(), "\"end\":\"exec\",\"exit_code\":null,\"signal\":null,\"core\":false");
	else if (!s->waited)
		fprintf(to(),
			"\"end\":\"running\",\"exit_code\":null,\"signal\":null,\"core\":false");
	else if (WIFSIGNALED(status))
		fprintf(to(), "\"end\":\"exit\",\"exit_code\":null,\"signal\":%d,\"core\":%s",
			WTERMSIG(status), WCOREDUMP(status) ? "true" : "false");
	else
		fprintf(to(), "\"end\":\"exit\",\"exit_code\":%d,\"signal\":null,\"core\":false",
			WEXITSTATUS(status));
}

static u64 minus(u64 a, u64 b)
{
	return a > b ? a - b : 0;
}

static void put_u64s(const char *name, const struct used *from, const struct used *to_)
{
	fprintf(to(), ",\"%s\":[%llu,%llu,%llu,%llu]", name,
		(unsigned long long)minus(to_->cpu_ns, from->cpu_ns),
		(unsigned long long)minus(to_->major_faults, from->major_faults),
		(unsigned long long)minus(to_->voluntary, from->voluntary),
		(unsigned long long)minus(to_->involuntary, from->involuntary));
}

/*
 * What it used, at least and at most: all that is counted only grows, so what was
 * read before and after a moment bounds what the kernel had at it. Without `used_max`
 * where nobody has waited for it.
 */
static void put_used(const struct slot *s, int first, int next)
{
	static const struct used none;
	const struct step *a = &s->step[first], *b = &s->step[next];
	bool known = s->start_known || first > 0, by_exec = next < s->stage;
	const struct used *start_min = known ? &a->pre_used : &none;
	const struct used *start_max = known ? &a->entry_used : &none;
	const struct used *last =
		s->last_used.cpu_ns ? &s->last_used : &s->step[s->stage - 1].entry_used;

	put_u64s("used_min", start_max, by_exec ? &b->pre_used : last);
	if (by_exec)
		put_u64s("used_max", start_min, &b->entry_used);
	else if (s->after_maxrss_kib)
		put_u64s("used_max", start_min, &s->after_used);
	if (!by_exec && s->after_maxrss_kib)
		fprintf(to(), ",\"wait4_maxrss_kib\":%llu",
			(unsigned long long)s->after_maxrss_kib);
}

/* One execution: the images from step first up to step next (or the process's end). */
static void emit_execution(const struct slot *s, char **argv, int first, int next, int reexecs)
{
	const struct step *a = &s->step[first], *b = &s->step[next];
	bool known = s->start_known || first > 0, by_exec = next < s->stage;
	u64 start_min = known ? a->pre_ns : s->fork_ns;
	u64 start_max = known ? a->entry_ns : a->pre_ns;
	u64 end_min = by_exec ? b->pre_ns : s->last_ns;
	u64 end_max = by_exec ? b->entry_ns : s->after_ns;

	if (!end_max) /* it still runs */
		end_max = now_ns();
	fprintf(to(),
		"{\"type\":\"execution\",\"label\":\"%s\",\"step\":%d,\"pid\":%d,\"ppid\":%d,",
		s->label, first, s->pid, s->ppid ? s->ppid : a->ppid);
	put_argv(a, first ? NULL : argv);
	put_status(s, by_exec);
	fprintf(to(),
		",\"min_ns\":%llu,\"max_ns\":%llu,\"start_min_ns\":%llu,\"start_max_ns\":%llu"
		",\"end_min_ns\":%llu,\"end_max_ns\":%llu,\"reexecs\":%d,\"uid\":%d"
		",\"start_known\":%s,\"by_construction\":%s",
		(unsigned long long)minus(end_min, start_max),
		(unsigned long long)minus(end_max, start_min), (unsigned long long)start_min,
		(unsigned long long)start_max, (unsigned long long)end_min,
		(unsigned long long)end_max, reexecs, a->uid, known ? "true" : "false",
		s->by_construction ? "true" : "false");
	put_used(s, first, next);
	fprintf(to(), "}\n");
}

/* The same argv again, within a second as far as stamps can tell. */
static enum gap again(const struct slot *s, char **argv, int i)
{
	const struct step *a = &s->step[i - 1], *b = &s->step[i];

	return (argv && i == 1) || !same_args(a, b) ? GAP_LONG : gap(a, b);
}

/* argv, if given, is the first step's. */
void emit_slot_argv(const struct slot *s, char **argv)
{
	int first = 0, reexecs = 0;

	/* This machine stopped for a while: one execution or two, nobody can say. */
	for (int i = 1; i < s->stage; i++) {
		if (again(s, argv, i) == GAP_UNSURE) {
			fprintf(to(), "{\"type\":\"unsure\",\"pid\":%d}\n", s->pid);
			return;
		}
	}
	for (int i = 1; i <= s->stage; i++) {
		if (i < s->stage && again(s, argv, i) == GAP_SHORT) {
			reexecs++;
			continue;
		}
		emit_execution(s, argv, first, i, reexecs);
		first = i;
		reexecs = 0;
	}
}

void emit_slot(const struct slot *s)
{
	emit_slot_argv(s, NULL);
}

void emit_note(const char *type, const char *fmt, ...)
{
	va_list ap;

	fprintf(to(), "{\"type\":\"%s\",\"pid\":%d,\"text\":\"", type, getpid());
	va_start(ap, fmt);
	vfprintf(to(), fmt, ap);
	va_end(ap);
	fprintf(to(), "\"}\n");
	fflush(to());
}
