package testserver

import (
	"flag"
	"os"
	"strings"
	"time"
)

// sayMissing says, once in a run, that tests skip because a server cannot be had.
func sayMissing(name string, err error) {
	r, ok := currentRun()
	if !ok || !r.once(strings.Map(fileName, "missing "+name)) {
		return
	}
	r.say("those that need %s skip: %v", name, err)
	if r.once("hint") {
		r.say("on Debian and Ubuntu, .ci/run packages installs what all servers need; \"go test -v\" names each test that skips")
	}
}

// forget keeps the go command from caching the result of this test binary, which it would
// show again, without a word, when the server is there: it does not see programs outside of
// the module. It caches nothing without the log of what the tests have read.
func forget() {
	if f := flag.Lookup("test.testlogfile"); f != nil && f.Value.String() != "" {
		_ = os.Remove(f.Value.String()) // another test may have done so
	}
}

func fileName(r rune) rune {
	if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
		return r
	}
	return '-'
}

// sayInstalling says that a server is being installed, if that takes longer than first, and
// again after each further time. The returned function ends it.
func sayInstalling(name string, first, again time.Duration, say func(format string, args ...any)) (end func()) {
	begin := time.Now()
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		timer := time.NewTimer(first)
		defer timer.Stop()
		for said := false; ; said = true {
			select {
			case <-done:
				if said {
					say("%s took %v to install; it stays in the cache directory", name, time.Since(begin).Round(time.Second))
				}
				return
			case <-timer.C:
				say("installing %s, once (%v so far)", name, time.Since(begin).Round(time.Second))
				timer.Reset(again)
			}
		}
	}()
	return func() { close(done); <-ended }
}
