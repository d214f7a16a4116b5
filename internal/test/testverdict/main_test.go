package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestJudge(t *testing.T) {
	const (
		passed = `{"Action":"output","Package":"p","Test":"TestA","Output":"noise\n"}
{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"pass","Package":"p","Elapsed":1.5}
`
		failed = `{"Action":"output","Package":"q","Test":"TestB","Output":"it broke\n"}
{"Action":"fail","Package":"q","Test":"TestB"}
{"Action":"fail","Package":"q","Elapsed":2}
`
		skipped = `{"Action":"output","Package":"p","Test":"TestC","Output":"no server\n"}
{"Action":"skip","Package":"p","Test":"TestC"}
`
		empty    = `{"Action":"skip","Package":"none"}` + "\n"
		panicked = `{"Action":"output","Package":"q","Test":"TestD","Output":"panic: oops\n"}
{"Action":"fail","Package":"q"}
`
		build = `{"ImportPath":"q","Action":"build-output","Output":"syntax error\n"}
{"Action":"fail","Package":"q","FailedBuild":"q"}
`
	)
	for _, c := range []struct {
		name, in string
		ok       bool
		want     []string
		not      string
	}{
		{"passed", passed + empty, true, []string{"ok        1.5s p\n", "1 tests passed, 0 failed, 0 skipped"}, "noise"},
		{"failed", passed + failed, false, []string{"FAIL      2.0s q\n", "it broke\n", "failed: q TestB\n", "1 failed"}, "noise"},
		{"skipped", skipped + passed, false, []string{"no server\n", "counts as a failure: p TestC", "1 skipped"}, "noise"},
		{"panicked", panicked, false, []string{"panic: oops\n", "failed: q\n"}, ""},
		{"not built", build, false, []string{"syntax error\n", "failed: q\n"}, ""},
		{"plain text is passed on", "go: no such module\n" + passed, true, []string{"go: no such module\n"}, ""},
	} {
		var out strings.Builder
		ok, err := judge(strings.NewReader(c.in), &out)
		require.NoError(t, err, c.name)
		require.Equal(t, c.ok, ok, "%s: %s", c.name, out.String())
		for _, want := range c.want {
			require.Contains(t, out.String(), want, c.name)
		}
		if c.not != "" {
			require.NotContains(t, out.String(), c.not, c.name)
		}
	}
}

func TestNoTestsIsNoPass(t *testing.T) {
	for _, in := range []string{"", `{"Action":"skip","Package":"none"}`} {
		ok, err := judge(strings.NewReader(in), &strings.Builder{})
		require.Error(t, err)
		require.False(t, ok)
	}
}
