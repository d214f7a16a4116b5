package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sluice-go/sluice/admin/letters/where"
	"github.com/sluice-go/sluice/cmd/sluice/internal/cli"
	"github.com/sluice-go/sluice/internal/process"
	"github.com/sluice-go/sluice/internal/test/suite"
)

func TestMain(m *testing.M) {
	// Scripts wait far more than they compute: a processor each would leave most
	// of the time unused. The command line can say otherwise.
	if err := flag.Set("test.parallel", strconv.Itoa(6*runtime.GOMAXPROCS(0))); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	// Scripts have --where whatever the tags of this build.
	expressions = func(source string) (cli.Expression, error) {
		e, err := where.Compile(source)
		if err != nil {
			return nil, err
		}
		return e, nil
	}
	testscript.Main(m, map[string]func(){"sluice": main})
}

// TestScripts runs the scripts that need no queue, or bring their own.
func TestScripts(t *testing.T) {
	t.Parallel()
	// Under nohup SIGHUP is ignored, and so it would be in the commands of the
	// scripts. A process that handles a signal leaves its children the default.
	hups := make(chan os.Signal, 1)
	signal.Notify(hups, syscall.SIGHUP)
	t.Cleanup(func() { signal.Stop(hups) })
	testscript.Run(t, testscript.Params{
		Dir: "testdata/plain", Setup: clean, Cmds: commands(), RequireExplicitExec: true,
		Condition: func(name string) (bool, error) {
			if name != "quick" {
				return false, fmt.Errorf("there is no condition %q", name)
			}
			return suite.Quick(), nil
		},
	})
}

// TestScriptsOnQueues runs every script of testdata/queue on each kind of queue.
// In a script $Q is a queue's URL, with a dead-letter queue and five attempts.
//
// With -short, which is how the race detector runs, one kind is enough: the
// others differ by their drivers, whose own tests run under it, and each of the
// hundreds of processes takes a second there.
func TestScriptsOnQueues(t *testing.T) {
	t.Parallel()
	for _, p := range providers() {
		if testing.Short() && p.name != "sqs" {
			continue
		}
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			p.scripts(t)
		})
	}
}

// TestScriptsOnLocalStack runs them on LocalStack if the slow suites are asked
// for, since the in-process server shows most of it sooner. Otherwise, and with
// -short, it only starts the server.
func TestScriptsOnLocalStack(t *testing.T) {
	t.Parallel()
	p := localStack(t)
	if suite.Full() {
		p.scripts(t)
	}
}

// scripts runs the scripts of testdata/queue. A script asks for its provider by a
// condition, as in [sqs] or [!pubsub].
func (p provider) scripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/queue", Cmds: commands(), RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			if err := clean(e); err != nil {
				return err
			}
			return p.setup(e)
		},
		Condition: func(name string) (bool, error) {
			for _, known := range providers() {
				if known.name == name || name == "localstack" {
					return name == p.name, nil
				}
			}
			return false, fmt.Errorf("there is no provider %q", name)
		},
	})
}

// clean gives a script, which has none of this process's environment, an address
// to listen on in $ADDR, and no colours.
func clean(e *testscript.Env) error {
	e.Setenv("NO_COLOR", "1")
	// Under the race detector every process would sleep for a second at its end.
	e.Setenv("GORACE", "atexit_sleep_ms=0")
	addr, err := process.FreeAddr()
	e.Setenv("ADDR", addr)
	return err
}

// commands are what scripts have besides testscript's own.
func commands() map[string]func(*testscript.TestScript, bool, []string) {
	return map[string]func(*testscript.TestScript, bool, []string){
		"status": status,
		"await":  await,
		"httpd":  httpd,
		"fetch":  fetch,
		"feed":   feed,
	}
}

// status N PROGRAM ARGS... runs a program and checks its exit status.
func status(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N PROGRAM ARGS...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	err = ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		got = exit.ExitCode()
	default:
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit status %d, and %d was expected", got, want)
	}
}

// deadline bounds every wait of a script.
const deadline = 5 * time.Minute

// await FILE [TEXT] waits until a file is there, and has the text in it.
func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: await FILE [TEXT]")
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(deadline); ; <-tick.C {
		content, err := os.ReadFile(ts.MkAbs(args[0]))
		if err == nil && (len(args) == 1 || strings.Contains(string(content), args[1])) {
			return
		}
		if time.Now().After(end) {
			// Beside NAME.out, a script keeps what a program reports in NAME.err.
			reported, _ := os.ReadFile(strings.TrimSuffix(ts.MkAbs(args[0]), ".out") + ".err")
			ts.Fatalf("%s: waited in vain; it is %q, %v; its program reports %q", args[0], content, err, reported)
		}
	}
}

// httpd LOG starts an HTTP endpoint, sets $HTTP to its URL, and writes a line
// about each request to the file LOG. It answers by the body: "reject" is 422,
// "retry" is 503 with Retry-After: 1 at the first attempt, "wait" holds until
// the file go is there, anything else is 200.
func httpd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: httpd LOG")
	}
	log, err := os.Create(ts.MkAbs(args[0]))
	ts.Check(err)
	var mu sync.Mutex
	seen := map[string]int{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		content, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		body := string(content)
		mu.Lock()
		defer mu.Unlock()
		seen[body]++
		_, _ = fmt.Fprintf(log, "%s body=%s attempt=%s id=%s tenant=%s\n", r.URL.Path, body,
			r.Header.Get("Sluice-Attempt"), r.Header.Get("Sluice-Message-Id"), r.Header.Get("Sluice-Attr-Tenant-Id"))
		switch {
		case body == "reject":
			w.WriteHeader(http.StatusUnprocessableEntity)
			_, _ = io.WriteString(w, "no such order")
		case body == "retry" && seen[body] == 1:
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	ts.Setenv("HTTP", s.URL)
	ts.Defer(func() {
		s.Close()
		_ = log.Close()
	})
}

// fetch URL FILE gets a URL, trying until it is answered with 200.
func fetch(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: fetch URL FILE")
	}
	client := &http.Client{Timeout: 10 * time.Second}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(deadline); ; <-tick.C {
		content, err := get(client, args[0])
		if err == nil {
			ts.Check(os.WriteFile(ts.MkAbs(args[1]), content, 0o600))
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("%s: %v", args[0], err)
		}
	}
}

func get(client *http.Client, url string) ([]byte, error) {
	answer, err := client.Get(url) //nolint:noctx // the client has a timeout
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %s: %s", answer.Status, content)
	}
	return content, err
}

// feed FILE PROGRAM ARGS... runs a program whose stdin is an open pipe into
// which the file was written, and closes the pipe only when stdout has as many
// lines as the file.
func feed(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: feed FILE PROGRAM ARGS...")
	}
	input := ts.ReadFile(args[0])
	path := filepath.Join(filepath.SplitList(ts.Getenv("PATH"))[0], args[1])
	c := exec.CommandContext(context.Background(), path, args[2:]...)
	c.Dir = ts.MkAbs(".")
	c.Env = environ(ts)
	in, err := c.StdinPipe()
	ts.Check(err)
	out := &lineCounter{}
	c.Stdout, c.Stderr = out, ts.Stderr()
	ts.Check(c.Start())
	_, err = io.WriteString(in, input)
	ts.Check(err)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(deadline); out.lines() < strings.Count(input, "\n"); <-tick.C {
		if time.Now().After(end) {
			_ = c.Process.Kill()
			ts.Fatalf("%d of %d lines came out while stdin was open", out.lines(), strings.Count(input, "\n"))
		}
	}
	ts.Check(in.Close())
	ts.Check(c.Wait())
}

// environ is a script's environment, as far as the program needs it.
func environ(ts *testscript.TestScript) []string {
	var env []string
	for _, name := range []string{
		"PATH", "HOME", "TMPDIR", "WORK", "AWS_ENDPOINT_URL", "AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY",
		"AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_EC2_METADATA_DISABLED", "PUBSUB_EMULATOR_HOST",
	} {
		if v := ts.Getenv(name); v != "" {
			env = append(env, name+"="+v)
		}
	}
	return env
}

type lineCounter struct {
	mu sync.Mutex
	n  int
}

func (c *lineCounter) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n += strings.Count(string(p), "\n")
	return len(p), nil
}

func (c *lineCounter) lines() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}
