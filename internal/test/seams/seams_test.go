package seams

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers/pubsub/pubsubtest"
	"github.com/sluice-go/sluice/internal/test/suite"
)

var (
	flagSeed     = flag.Uint64("seams.seed", 0, "run the program of this seed, again and again")
	flagQueue    = flag.String("seams.queue", strings.Join(virtualQueues, ","), "the queues to run programs on")
	flagDuration = flag.Duration("seams.duration", 0, "how long to run programs of fresh seeds, after the fixed ones")
	flagTimes    = flag.Int("seams.times", 20, "how often to run the program of -seams.seed")
	flagFixed    = flag.Int("seams.fixed", 30, "how many fixed seeds to run, a queue")
	flagShow     = flag.Bool("seams.show", false, "print the program of -seams.seed, and each history")
	flagChild    = flag.Uint64("seams.child", 0, "for the suite itself: the first fresh seed")
	flagDone     = flag.Int("seams.done", 0, "for the suite itself: how many fixed seeds are done")
	flagWithout  = flag.String("seams.without", "", "leave out the steps of these names, to look for other findings")
	flagFirst    = flag.Bool("seams.first", false, "end at the first finding")
	flagGoOn     = flag.Bool("seams.goon", false, "go on after a finding, for -seams.duration")
)

// TestSeams runs programs of faults; see the package comment.
func TestSeams(t *testing.T) {
	switch {
	case *flagChild != 0:
		child(t)
	case *flagSeed != 0:
		replay(t)
	default:
		parent(t)
	}
}

// A report is what a child says of a program.
type report struct {
	Queue    string    `json:"queue"`
	Seed     uint64    `json:"seed"`
	Begun    bool      `json:"begun,omitempty"`
	Took     string    `json:"took,omitempty"`
	Program  string    `json:"program,omitempty"`
	Err      string    `json:"err,omitempty"`
	Findings []finding `json:"findings,omitempty"`
	Messages int       `json:"messages,omitempty"`
}

const reportMark = "seams-report "

// hungAfter is how long a program may take of real time. Virtual time does not
// pass while a goroutine spins. The slowest program takes 27 seconds with the race
// detector, on a processor of its own.
const hungAfter = 10 * time.Minute

// perform runs the program of a seed.
func perform(t *testing.T, queue string, seed uint64) report {
	p := generate(queue, seed)
	r := report{Queue: queue, Seed: seed, Messages: len(p.messages)}
	var o outside
	if queue == onPubSub {
		o.fake = pubsubtest.New()
	}
	if queue == onSQLite {
		o.dir = tempDir(t)
	}
	hung := time.AfterFunc(hungAfter, func() {
		fmt.Fprintf(os.Stderr, "seams: the program of %s does not end; all goroutines:\n", seedName(p))
		_ = pprof.Lookup("goroutine").WriteTo(os.Stderr, 2)
		os.Exit(3)
	})
	defer hung.Stop()
	synctest.Test(t, func(*testing.T) {
		w, err := play(p, &o)
		if left := leftovers(); len(left) > 0 {
			w.mu.Lock()
			w.find(ruleLeak, nil, "%d goroutines are left:\n%s", len(left), bytes.Join(left, []byte("\n\n")))
			w.mu.Unlock()
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if err != nil {
			r.Err = err.Error()
		}
		w.recount()
		r.Findings = w.findings
		if slices.ContainsFunc(w.findings, func(f finding) bool { return f.Rule == ruleLeak }) {
			r.Program = p.String()
			fmt.Println(reportMark + marshal(r)) // the bubble's end is a crash now
		}
		if *flagShow {
			for _, m := range p.messages {
				fmt.Printf("%s %v\n%s\n", m.id, m.script, w.history(m))
			}
		}
	})
	if len(r.Findings) > 0 || r.Err != "" || *flagShow {
		r.Program = p.String()
	}
	return r
}

// recount fills in the histories of the findings. w.mu is held.
func (w *world) recount() {
	seen := map[string]bool{} // the first of each rule has one
	for i := range w.findings {
		f := &w.findings[i]
		id, _, _ := strings.Cut(f.Message, " ")
		m := w.byID[id]
		if m == nil {
			m = &message{}
		}
		if key := f.Rule + strconv.FormatBool(f.Message == ""); !seen[key] {
			seen[key] = true
			f.History = w.history(m)
		}
	}
}

func marshal(r report) string {
	b, err := json.Marshal(r)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func (r report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "program %s: replay with -seams.queue=%s -seams.seed=%d\n%s", r.Queue, r.Queue, r.Seed, r.Program)
	if r.Err != "" {
		fmt.Fprintf(&b, "ERROR: %s\n", r.Err)
	}
	for _, f := range r.Findings {
		fmt.Fprintf(&b, "FINDING: %s: %s\n  %s\n%s", f.Rule, f.Text, f.Message, f.History)
	}
	return b.String()
}

func replay(t *testing.T) {
	for _, queue := range strings.Split(*flagQueue, ",") {
		for range *flagTimes {
			r := perform(t, queue, *flagSeed)
			if *flagShow {
				t.Log(r.Program)
			}
			if len(r.Findings) > 0 || r.Err != "" {
				t.Fatal(r)
			}
		}
	}
}

// child runs programs and reports each on its standard output.
func child(t *testing.T) {
	queues := strings.Split(*flagQueue, ",")
	until := time.Now().Add(*flagDuration)
	one := func(queue string, seed uint64) {
		fmt.Println(reportMark + marshal(report{Queue: queue, Seed: seed, Begun: true}))
		begin := time.Now()
		var r report
		t.Run(queue, func(t *testing.T) { r = perform(t, queue, seed) })
		r.Took = time.Since(begin).String()
		fmt.Println(reportMark + marshal(r))
	}
	for i := *flagDone; i < *flagFixed; i++ {
		for _, q := range queues {
			one(q, uint64(i+1))
		}
	}
	for seed := *flagChild; time.Now().Before(until); seed++ {
		for _, q := range queues {
			one(q, seed)
		}
	}
}

// parent shares the queues among children and gathers what they report.
func parent(t *testing.T) {
	duration := *flagDuration
	if duration == 0 {
		switch {
		case suite.Full():
			duration = 45 * time.Second
		case suite.Quick():
			duration = 3 * time.Second
		default:
			duration = 10 * time.Second
		}
	}
	queues := strings.Split(*flagQueue, ",")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	all := tally{stop: stop}
	var wg sync.WaitGroup
	// Each queue has the processor for its share of the time.
	jobs := make(chan string, len(queues))
	share := duration * time.Duration(min(runtime.NumCPU(), len(queues))) / time.Duration(len(queues))
	for _, q := range queues {
		jobs <- q
	}
	close(jobs)
	for range min(runtime.NumCPU(), len(queues)) {
		wg.Go(func() {
			for q := range jobs {
				for until := time.Now().Add(share); ; {
					goOn := spawn(ctx, q, time.Until(until), &all)
					if !goOn || time.Now().After(until) {
						break
					}
				}
			}
		})
	}
	wg.Wait()
	for _, line := range all.lines() {
		t.Log(line)
	}
	for _, f := range all.failures {
		t.Error(f)
	}
}

// tally is what the children have reported.
type tally struct {
	mu       sync.Mutex
	programs map[string]int
	messages int
	failures []string
	rules    map[string]int
	stop     func() // ends the children
}

func (a *tally) locked(f func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f()
}

func (a *tally) lines() []string {
	var out []string
	for q, n := range a.programs {
		out = append(out, fmt.Sprintf("%s: %d programs", q, n))
	}
	slices.Sort(out)
	for r, n := range a.rules {
		out = append(out, fmt.Sprintf("%d programs against %q", n, r))
	}
	return append(out, fmt.Sprintf("%d messages", a.messages))
}

func (a *tally) fail(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.failures) < 12 {
		a.failures = append(a.failures, text)
	}
	if *flagGoOn {
		fmt.Println(text)
	}
	if *flagFirst {
		a.stop()
	}
}

// spawn runs one child. It returns false if no other child should run.
func spawn(ctx context.Context, queue string, duration time.Duration, all *tally) (goOn bool) {
	all.mu.Lock()
	if all.programs == nil {
		all.programs, all.rules = map[string]int{}, map[string]int{}
	}
	done := all.programs[queue] // a child has crashed: the next one goes on
	all.mu.Unlock()
	first := fresh(time.Now()) + uint64(done)

	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestSeams$", "-test.timeout=0", "-test.count=1",
		fmt.Sprintf("-seams.child=%d", first), "-seams.queue="+queue, fmt.Sprintf("-seams.duration=%v", max(duration, 0)), fmt.Sprintf("-seams.fixed=%d", *flagFixed), fmt.Sprintf("-seams.done=%d", done), "-seams.without="+*flagWithout)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		all.fail("starting a child: %v", err)
		return false
	}
	open, other := readReports(stdout, all)
	err = cmd.Wait()
	if ctx.Err() != nil {
		return false
	}
	if open != nil {
		all.locked(func() { all.programs[queue]++ })
		all.fail("program %s crashed: replay with -seams.queue=%s -seams.seed=%d\n%s\n%v\n%s", open.Queue, open.Queue, open.Seed,
			generate(open.Queue, open.Seed), err, tail(other+stderr.String(), 12<<10))
		return true
	}
	if e := (*exec.ExitError)(nil); err != nil && !errors.As(err, &e) {
		all.fail("a child: %v", err)
		return false
	}
	return err != nil // it reported goroutines that are left, and then crashed for them
}

// fresh is the first fresh seed at a time. Without -seams.duration each day has its
// own, by UTC: all runs of a day begin with the same programs, here and in CI.
func fresh(now time.Time) uint64 {
	if *flagDuration > 0 {
		return uint64(now.UnixMilli()) * 1_000
	}
	return uint64(now.Unix()/86400) * 10_000_000
}

// readReports reads what a child prints. It returns the program that was begun
// and not reported, if any, and what else there was.
func readReports(from io.Reader, all *tally) (open *report, other string) {
	var rest strings.Builder
	s := bufio.NewScanner(from)
	s.Buffer(nil, 64<<20)
	for s.Scan() {
		line, ok := strings.CutPrefix(s.Text(), reportMark)
		if !ok {
			if rest.Len() < 1<<20 {
				rest.WriteString(s.Text() + "\n")
			}
			continue
		}
		var r report
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			all.fail("a child's report: %v", err)
			continue
		}
		if r.Begun {
			open = &r
			rest.Reset()
			continue
		}
		open = nil
		all.mu.Lock()
		all.programs[r.Queue]++
		all.messages += r.Messages
		seen := map[string]bool{}
		for _, f := range r.Findings {
			if !seen[f.Rule] {
				all.rules[f.Rule]++
				seen[f.Rule] = true
			}
		}
		all.mu.Unlock()
		if len(r.Findings) > 0 || r.Err != "" {
			all.fail("%v", r)
		}
	}
	return open, rest.String()
}

func tail(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:n] + "\n…"
}

// tempDir is like t.TempDir, whose name may have what a URL cannot.
func tempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "seams") //nolint:usetesting // its name goes into a URL
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	return dir
}
