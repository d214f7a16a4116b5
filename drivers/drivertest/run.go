package drivertest

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-go/sluice/drivers/drivertest/internal/conformance"
)

// ruleTimeout is how long a rule may take: far more than any does, so that it
// detects a driver that hangs, not a machine that is busy.
const ruleTimeout = 3 * time.Minute

// Run holds a driver to the rules, each in a subtest that is named after its
// ID. It returns when all of them are decided, except that a test filtered
// with -run runs only the rules that the filter names.
func Run(t *testing.T, h *Harness) {
	t.Helper()
	rules := Rules()
	if err := h.validate(ruleIDs(rules)); err != nil {
		t.Fatal(err)
	}
	s := newSuite(h)
	t.Cleanup(func() {
		if dir := os.Getenv(conformance.DirVariable); dir != "" {
			if err := s.report().Write(dir); err != nil {
				t.Error(err)
			}
		}
	})
	for _, r := range rules {
		t.Run(r.ID, func(t *testing.T) {
			done := s.add(r)
			// The subtest stops here until Run returns; by then it is known which
			// rules the -run flag selects, and the suite starts them by its own
			// measure rather than two at a time on a machine with two cores.
			t.Parallel()
			publish(t, <-done)
		})
	}
	s.start(context.WithoutCancel(t.Context()))
}

// publish turns the result of a rule into that of its subtest.
func publish(t *testing.T, r conformance.Result) {
	t.Helper()
	switch r.Status {
	case conformance.Failed:
		t.Errorf("the driver breaks rule %s: %s\n%s", r.Rule, r.Law, indent(r.Note))
	case conformance.Excepted:
		t.Logf("rule %s is excepted: %s", r.Rule, r.Note)
	case conformance.Inapplicable:
		t.Logf("rule %s does not apply: %s", r.Rule, r.Note)
	case conformance.Passed:
		t.Logf("rule %s holds, in %v", r.Rule, r.Duration.Round(time.Millisecond))
	}
}

func indent(s string) string {
	return "    " + strings.ReplaceAll(strings.TrimSpace(s), "\n", "\n    ")
}

// A suite runs rules concurrently and keeps their results.
type suite struct {
	h    *Harness
	jobs []*job

	mu      sync.Mutex
	results []conformance.Result
}

type job struct {
	rule Rule
	done chan conformance.Result
}

func newSuite(h *Harness) *suite { return &suite{h: h} }

// add registers a rule and returns where its result will be sent. It is not
// safe for concurrent use.
func (s *suite) add(r Rule) <-chan conformance.Result {
	j := &job{rule: r, done: make(chan conformance.Result, 1)}
	s.jobs = append(s.jobs, j)
	return j.done
}

// start runs the rules that were added. It does not wait for them.
func (s *suite) start(ctx context.Context) {
	slots := make(chan struct{}, s.h.parallel())
	go func() {
		for _, j := range s.jobs {
			slots <- struct{}{}
			go func() {
				defer func() { <-slots }()
				r := decide(ctx, s.h, j.rule)
				s.mu.Lock()
				s.results = append(s.results, r)
				s.mu.Unlock()
				j.done <- r
			}()
		}
	}()
}

func (s *suite) report() *conformance.Report {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := make(map[string]conformance.Result, len(s.results))
	for _, r := range s.results {
		found[r.Rule] = r
	}
	report := &conformance.Report{Server: s.h.Server}
	for _, j := range s.jobs {
		if r, ok := found[j.rule.ID]; ok {
			report.Results = append(report.Results, r)
		}
	}
	return report
}

// decide runs one rule and weighs what came of it against the exceptions.
func decide(ctx context.Context, h *Harness, r Rule) conformance.Result {
	begin := time.Now()
	c := try(ctx, h, r)
	result := conformance.Result{Rule: r.ID, Law: r.Law, Duration: time.Since(begin)}
	exception, excepted := h.Exceptions[r.ID]
	switch {
	case c.inapplicable != "" && excepted:
		result.Status = conformance.Failed
		result.Note = "the exception is stale: the rule does not apply (" + c.inapplicable + ")"
	case c.inapplicable != "":
		result.Status, result.Note = conformance.Inapplicable, c.inapplicable
	case len(c.failures) > 0 && excepted:
		result.Status, result.Note = conformance.Excepted, exception.Reason
	case len(c.failures) > 0:
		result.Status, result.Note = conformance.Failed, strings.Join(c.failures, "\n")
	case excepted && !exception.Flaky:
		result.Status = conformance.Failed
		result.Note = "the exception is stale: the rule holds now (" + exception.Reason + ")"
	default:
		result.Status = conformance.Passed
	}
	return result
}

// try runs the rule's check on a new goroutine, so that a check can end itself
// from any depth, as a test does with FailNow, and so that a driver that hangs
// fails its rule and not the whole run.
func try(ctx context.Context, h *Harness, r Rule) *check {
	ctx, cancel := context.WithTimeout(ctx, ruleTimeout)
	defer cancel()
	c := &check{ctx: ctx, h: h, rule: r}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer c.cleanup()
		defer func() {
			if p := recover(); p != nil {
				c.Errorf("panic: %v\n%s", p, debug.Stack())
			}
		}()
		r.check(c)
	}()
	select {
	case <-ended:
		return c
	case <-ctx.Done():
	}
	grace := time.NewTimer(10 * time.Second)
	defer grace.Stop()
	select {
	case <-ended:
		return c
	case <-grace.C:
		// The check is still running and c belongs to it.
		stuck := &check{ctx: ctx, h: h, rule: r}
		stuck.Errorf("a call of the driver did not return within %v after its context had ended", 10*time.Second)
		return stuck
	}
}

// where names the line of the rule that called the step that failed.
func where() string {
	const here = "/drivers/drivertest."
	var pcs [32]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	for {
		f, more := frames.Next()
		ours := strings.Contains(f.Function, here)
		step := strings.Contains(f.Function, here+"(*check).") || strings.Contains(f.Function, here+"(*bench).") ||
			strings.HasSuffix(f.Function, here+"where")
		if ours && !step {
			return fmt.Sprintf("%s:%d", f.File[strings.LastIndexByte(f.File, '/')+1:], f.Line)
		}
		if !more {
			return ""
		}
	}
}
