//go:build unix

package pages

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/process"
	"github.com/sluice-go/sluice/internal/test/command"
)

// The console sessions of the pages run, and print what the pages show.
func TestSessions(t *testing.T) {
	if testing.Short() {
		return // they build programs that are not raced
	}
	root, err := filepath.Abs("../../..")
	require.NoError(t, err)
	bin := t.TempDir()
	require.NoError(t, command.Build(t.Context(), bin, "github.com/sluice-go/sluice/cmd/sluice"))
	require.NoError(t, os.Rename(filepath.Join(bin, "sluice"), filepath.Join(bin, "sluice.real")))
	// Nothing of the test listens on the ports that the pages name.
	require.NoError(t, os.WriteFile(filepath.Join(bin, "sluice"), []byte(`#!/bin/sh
if [ "$1" = dev ]; then
	shift
	exec sluice.real dev --sqs 127.0.0.1:0 --pubsub 127.0.0.1:0 "$@"
fi
exec sluice.real "$@"
`), 0o700)) //nolint:gosec // a program
	pages := load(t, root)
	// The parts of the tutorial are one session.
	first := "docs/tutorial/worker.md"
	for _, page := range []string{"docs/tutorial/dev.md", "docs/tutorial/production.md"} {
		pages[first] = append(pages[first], pages[page]...)
		delete(pages, page)
	}
	n := 0
	for page, blocks := range pages {
		if !slices.ContainsFunc(blocks, func(b Block) bool { return b.Kind == "console" }) {
			continue
		}
		n++
		t.Run(strings.TrimSuffix(strings.TrimPrefix(page, "docs/"), ".md"), func(t *testing.T) {
			t.Parallel()
			needs(t, page)
			port, err := process.FreePort()
			require.NoError(t, err)
			admin := strconv.Itoa(port)
			s := &session{
				dir: t.TempDir(),
				env: append(os.Environ(), "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"), "SLUICE_SERVICE_ADMIN="+admin,
					"OTEL_SDK_DISABLED=true", "GOFLAGS=-mod=mod", "GOWORK=off"),
				replace:    strings.NewReplacer("../sluice", root, "9464", admin),
				terminals:  make(map[string]*terminal),
				transcript: t.Logf,
			}
			require.NoError(t, s.run(t.Context(), blocks))
		})
	}
	require.Greater(t, n, 2, "the pages have sessions")
}

// needs skips a page whose programs this machine lacks. In CI that is a failure.
func needs(t *testing.T, page string) {
	for _, name := range map[string][]string{"docs/guides/languages.md": {"python3"}, "docs/migrate/bullmq.md": {"node"}}[page] {
		if lacks(name) {
			t.Skipf("no %s on the PATH", name)
		}
	}
}

// A page whose session prints something else is reported with both texts.
func TestASessionIsCompared(t *testing.T) {
	t.Parallel()
	run := func(page string) error {
		s := &session{dir: t.TempDir(), env: os.Environ(), replace: strings.NewReplacer(), terminals: make(map[string]*terminal), transcript: t.Logf}
		return s.run(t.Context(), Blocks("page.md", page))
	}
	require.NoError(t, run("```sh title=\"a/f\"\nx\n```\n```console\n$ cd a && cat \\\n> f\nx\n$ pwd | sed 's,.*/,,'\na\n$ echo one two; echo 12:3\none …\n…\n```\n"))
	require.NoError(t, run("```console title=\"other\"\n$ echo up; sleep 1000\nup\n```\n```console\n$ echo here\nhere\n```\n"))
	require.NoError(t, run("```console title=\"other\"\n$ trap 'echo bye' INT; echo up; sleep 1000 || true\nup\n^C\n…\n```\n"))
	require.ErrorContains(t, run("```console\n$ echo one\ntwo\n```\n"), "page.md:1: $ echo one\nprinted\none\n\nand the page has\ntwo\n")
	require.ErrorContains(t, run("text\n```console\n$ echo no; exit_ 3\n```\n"), "page.md:2: $ echo no; exit_ 3\nended with status 127")
	require.ErrorContains(t, run("```console\n$ echo one two\none\n```\n"), "and the page has")
}
