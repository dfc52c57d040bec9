# shellcheck shell=bash
# What a guest's console says, for run.sh, which sources this: records and failures of one guest,
# then one table and one account of all. Needs MARK, which init's words begin with, and $work, the
# folder with all records, failures and notes.
# shellcheck disable=SC2154 # work

# A console's words, without our mark and whatever else stood on the line.
words_of() { tr -d '\r' <"$1" | sed -n "s/.*$MARK //p"; }

reached() { grep -qa "$MARK $2" "$1"; }

# 'FLAVOUR SUITE PASSED FAILED SKIPPED LEFT-OUT' for each suite; a kernel that panics or hangs leaves
# a 'begin' without its 'end'.
records_of() {
    words_of "$1" | awk '
        $1 == "begin" { open = $2 " " $3 }
        $1 == "end" { print $2, $3, $5, $6, $7, $8; open = "" }
        $1 == "init" { init = 1 }
        $1 == "done" { done = 1 }
        END {
            if (open != "") print open, 0, 1, 0, 0
            else if (!init || !done) print "- boot 0 1 0 0"
        }'
}

# The kernel's own last words on a console.
last_words() {
    grep -aoE '(Kernel panic|BUG: |Oops|int3: |Unrecoverable kprobe|qemu-system[^:]*: ).*' "$1" |
        tr -d '\r' | sort -u | head -n 4 | paste -sd ';' - | sed 's/;/; /g'
}

# 'failed: KERNEL FLAVOUR SUITE::TEST' for each, and what the assertion said, indented: all that a
# reader of the closing lines alone needs.
failures_of() { # NAME LOG
    words_of "$2" | awk -v name="$1" -v last="$(last_words "$2")" '
        function head(what) { print "failed: " name " " where what; lines = 0; spoken = 1 }
        function tell(text) { if (lines++ < 10) print "    | " substr(text, 1, 400) }
        $1 == "begin" { where = $2 " " $3; test = ""; spoken = 0; open = 1; kept = 0 }
        $1 == "out" {
            sub(/^out ?/, "")
            if (/^---- .* stdout ----$/) { test = $2; talks = 0; next }
            if (/^failures:$/) { test = ""; next }
            if (test == "") { if ($0 != "") tail[kept++ % 6] = $0; next }
            if (/panicked at /) { head("::" test); talks = 1 }
            if (/^note: run with/ || /^stack backtrace:/) talks = 0
            if (talks && $0 != "") tell($0)
        }
        $1 == "end" {
            open = 0
            if (($6 > 0 || $4 != 0) && !spoken) {
                head(": ended with status " $4 " after " $9 " s")
                for (i = kept > 6 ? kept - 6 : 0; i < kept; i++) tell(tail[i % 6])
            }
        }
        $1 == "init" { init = 1 }
        $1 == "done" { done = 1 }
        END {
            if (open) { head(": the guest did not survive it"); tell(last) }
            else if (!init) { where = ""; head("the machine, not a test: the kernel never came to its init"); tell(last) }
            else if (!done) { head(": the guest did not end by itself after it"); tell(last) }
        }'
}

# A Markdown table, padded so that a terminal shows it well too. Reads records with the kernel and
# the cgroup mode before them.
table() {
    sort -s -k1,1V -k3,3 "$work/records" | awk '
        function width(string) { gsub(/–/, "-", string); return length(string) }
        function pad(string, n) { n -= width(string); while (n-- > 0) string = string " "; return string }
        function print_row(r, fill,    c, line, string) {
            for (c = 1; c <= columns; c++) {
                string = fill " " pad(text[r, c], wide[c]) " "
                if (fill != "") { string = pad("", wide[c] + 2); gsub(/ /, fill, string) }
                line = line "|" string
            }
            print line "|"
        }
        function count(n, r) { return text[r, 3] == "cannot be had" ? "–" : n + 0 }
        {
            sub(/-cloud-[a-z0-9]+$/, "", $1)
            key = $1 SUBSEP $3
            if (!(key in row)) { row[key] = ++rows; text[rows, 1] = $1; text[rows, 2] = $3 }
            r = row[key]
            mode = $2 == "-" ? "cannot be had" : $2
            if (!seen[r, mode]++) text[r, 3] = text[r, 3] (text[r, 3] == "" ? "" : " ") mode
            passed[r] += $5; failed[r] += $6; skipped[r] += $7; left[r] += $8
        }
        END {
            columns = split("kernel flavour cgroups passed failed skipped left_out", name, " ")
            for (c = 1; c <= columns; c++) text[0, c] = name[c]
            sub(/_/, " ", text[0, columns])
            for (r = 1; r <= rows; r++) {
                text[r, 4] = count(passed[r], r); text[r, 5] = count(failed[r], r)
                text[r, 6] = skipped[r] + 0; text[r, 7] = count(left[r], r)
            }
            for (r = 0; r <= rows; r++)
                for (c = 1; c <= columns; c++)
                    if (width(text[r, c]) > wide[c]) wide[c] = width(text[r, c])
            print_row(0, ""); print_row(0, "-")
            for (r = 1; r <= rows; r++) print_row(r, "")
        }'
}

# The closing lines. What ran must have passed, and what could not run has to be named; a filter that
# lets nothing through must not look like success.
account() {
    awk '$3 == "-" && $4 == "none" { print "skipped: " $1 ": cannot be had (see above)" }' "$work/records"
    awk -v args="${EXECLAT_TEST_ARGS:-}" '
        { left += $8 }
        END { if (left) print "left out: " left " tests, by " args }' "$work/records"
    sed 's/^/note: /' "$work/notes"
    cat "$work/failures"
    awk '
        { passed += $5; failed += $6; skipped += $7; ran += $4 != "none" }
        END { printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped
              exit failed > 0 || (ran && passed == 0) }' "$work/records"
}
