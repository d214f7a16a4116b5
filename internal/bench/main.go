// Command bench measures Sluice beside other ways to do the same, in one run on
// the same servers: loops written by hand on the providers' SDKs, gocloud.dev,
// watermill and Google's own client.
//
//	go run . -out ../../docs    the whole table, about twelve minutes
//	go run . -smoke             each case small: whether it works
//	go run . -run sqs-consume   the cases whose names match
//	go run . -from ../../docs/benchmarks.json -out ../../docs   judge and write anew
//
// It prints the tables; with -out it also writes benchmarks.json, the charts and
// the generated section of benchmarks.md into that directory. It is a module of
// its own, so that no peer is ever a dependency of Sluice.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	if slices.Contains(os.Args[1:], serveFlag) {
		exit(serve(os.Stdin, os.Stdout))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the second signal ends the process
	exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

func exit(err error) {
	if err == nil || errors.Is(err, flag.ErrHelp) {
		os.Exit(0)
	}
	fmt.Fprintln(os.Stderr, "bench:", err)
	os.Exit(1)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	e := &env{}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.IntVar(&e.sizes.runs, "runs", 3, "runs of each peer in each case")
	flags.IntVar(&e.sizes.messages, "n", 10_000, "messages of a run over a network")
	flags.IntVar(&e.sizes.local, "local", 200_000, "messages of a run in memory")
	flags.DurationVar(&e.sizes.idle, "idle", 40*time.Second, "how long idle consumers are watched")
	flags.IntVar(&e.sizes.held, "held", 10_000, "leases that are held")
	flags.DurationVar(&e.sizes.hold, "hold", 15*time.Second, "how long they are watched: half a lease is one period")
	flags.IntVar(&e.sizes.backlog, "backlog", 1_000_000, "the largest backlog")
	flags.IntVar(&e.sizes.top, "concurrency", 4096, "the highest concurrency")
	pattern := flags.String("run", "", "a regular expression: only the cases whose names match")
	peers := flags.String("peer", "", "a regular expression: only the peers whose names match")
	out := flags.String("out", "", "the directory for JSON, charts and the page's section; empty writes none")
	smoke := flags.Bool("smoke", false, "run each case once and small; other sizes are ignored")
	list := flags.Bool("list", false, "list the cases")
	from := flags.String("from", "", "measure nothing: judge and write anew what an earlier run wrote to this benchmarks.json")
	var p profiles
	flags.StringVar(&p.cpu, "cpuprofile", "", "write a processor profile to this file")
	flags.StringVar(&p.allocs, "memprofile", "", "write an allocation profile to this file")
	flags.StringVar(&p.mutex, "mutexprofile", "", "write a profile of contended mutexes to this file")
	flags.StringVar(&p.block, "blockprofile", "", "write a profile of waiting goroutines to this file")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if *smoke {
		e.sizes = sizes{runs: 1, messages: 200, local: 2000, idle: 2 * time.Second, held: 500, hold: 2 * time.Second, backlog: 10_000, top: 64}
	}
	xs, err := choose(cases(e.sizes), *pattern, *peers)
	if err != nil {
		return err
	}
	if *list {
		for _, x := range xs {
			fmt.Fprintln(stdout, x.id)
		}
		return nil
	}
	if *from != "" {
		r, err := readReport(*from)
		if err != nil {
			return err
		}
		r.judge()
		return r.show(stdout, *out)
	}
	if e.exe, err = os.Executable(); err != nil {
		return err
	}
	if e.dir, err = os.MkdirTemp("", "sluice-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.close(), os.RemoveAll(e.dir)) }()
	stopProfiles, err := p.start()
	if err != nil {
		return err
	}
	rows, err := runAll(ctx, e, xs, stderr)
	if err = errors.Join(err, stopProfiles()); err != nil {
		return err
	}
	r := &report{Command: strings.Join(append([]string{"go run ."}, args...), " "), Machine: machine(), Rows: rows}
	if !*smoke { // so small a run says nothing
		r.judge()
	}
	return r.show(stdout, *out)
}

// cases are all cases, in the order of running.
func cases(s sizes) []experiment {
	return slices.Concat(sqsConsumeCases(), sqsSendCases(), sqsIdleCases(s.idle), memoryCases(), routeCases(), pubsubCases(), heldCases(),
		concurrencyCases(s.top), backlogCases(s.backlog), diskCases(s.backlog), outboxCases())
}

// choose leaves the cases and the peers whose names match.
func choose(xs []experiment, ids, peers string) ([]experiment, error) {
	id, err := regexp.Compile(ids)
	if err != nil {
		return nil, fmt.Errorf("-run: %w", err)
	}
	name, err := regexp.Compile(peers)
	if err != nil {
		return nil, fmt.Errorf("-peer: %w", err)
	}
	var chosen []experiment
	for _, x := range xs {
		x.peers = slices.DeleteFunc(x.peers, func(p peer) bool { return !name.MatchString(p.name) })
		if id.MatchString(x.id) && len(x.peers) > 0 {
			chosen = append(chosen, x)
		}
	}
	if len(chosen) == 0 {
		return nil, errors.New("no case matches; -list lists them")
	}
	return chosen, nil
}

// machine says what was measured on.
func machine() string {
	model := "unknown processor"
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if m := regexp.MustCompile(`model name\s*:\s*(.+)`).FindSubmatch(info); m != nil {
			model = string(m[1])
		}
	}
	return fmt.Sprintf("%s, %d cores, %s, %s/%s", model, runtime.NumCPU(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
