package main

import (
	"bufio"
	"bytes"
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// ingest starts the command and returns its URL, its queue, its log, and a function that
// stops it and returns its exit error.
func ingest(t *testing.T, args ...string) (url, queue string, log func() string, stop func() error) {
	t.Helper()
	queue = "sqlite://" + filepath.ToSlash(t.TempDir()) + "/hooks.db?queue=hooks"
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	c := exec.CommandContext(ctx, "sluice", append([]string{"ingest", "0", queue}, args...)...)
	c.Env = append(os.Environ(), "GITHUB_SECRET=old\nIt's a Secret to Everybody", "STRIPE_SECRET=whsec_test_secret")
	out, err := c.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, c.Start())
	var (
		mu    sync.Mutex
		lines strings.Builder
	)
	found, ended := make(chan string, 1), make(chan struct{})
	go func() {
		defer close(ended)
		for s := bufio.NewScanner(out); s.Scan(); {
			mu.Lock()
			lines.WriteString(s.Text() + "\n")
			mu.Unlock()
			if m := regexp.MustCompile(`url=(http://127\.0\.0\.1:\d+)`).FindStringSubmatch(s.Text()); m != nil {
				found <- m[1]
			}
		}
	}()
	log = func() string { mu.Lock(); defer mu.Unlock(); return lines.String() }
	select {
	case url = <-found:
	case <-ended:
		t.Fatal(log())
	}
	return url, queue, log, func() error {
		require.NoError(t, c.Process.Signal(os.Interrupt))
		<-ended
		return c.Wait()
	}
}

func deliver(t *testing.T, url, body string, header map[string]string) (status int) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewBufferString(body))
	require.NoError(t, err)
	for name, value := range header {
		r.Header.Set(name, value)
	}
	resp, err := (&http.Client{}).Do(r)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return resp.StatusCode
}

var hello = map[string]string{
	"X-GitHub-Event": "issues", "X-GitHub-Delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
	"X-Hub-Signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
}

// GitHub's documented request is queued, one byte changed is 401, and sent twice it has
// one effect.
func TestIngestQueuesWebhooks(t *testing.T) {
	t.Parallel()
	url, queue, log, stop := ingest(t, "--github-secret-env", "GITHUB_SECRET", "--header", "X-GitHub-Hook-ID", "--max-depth", "1000")
	require.Equal(t, 202, deliver(t, url+"/any/path", "Hello, World!", hello))
	require.Equal(t, 202, deliver(t, url+"/github", "Hello, World!", hello))
	require.Equal(t, 401, deliver(t, url, "Hello, World?", hello))
	require.Equal(t, 413, deliver(t, url, strings.Repeat("x", 1<<20+1), hello))
	for _, probe := range []string{"/livez", "/readyz"} {
		_, err := get(&http.Client{Timeout: time.Minute}, url+probe)
		require.NoError(t, err)
	}
	require.NoError(t, stop(), log())
	require.NotContains(t, log(), "Everybody")
	require.NotContains(t, log(), "Hello")
	require.Contains(t, log(), "webhook refused")

	dir := t.TempDir()
	run := exec.CommandContext(t.Context(), "sluice", "run", queue, "--exec", `sh -c 'cat >>effects; echo " $SLUICE_ATTR_TYPE $SLUICE_DEDUPE_ID" >>effects'`,
		"--idempotency", "sqlite://"+filepath.ToSlash(dir)+"/marks.db", "--concurrency", "1", "--until-empty", "-o", "json")
	run.Dir = dir
	var stderr bytes.Buffer
	run.Stderr = &stderr
	out, err := run.Output()
	require.NoError(t, err, stderr.String())
	require.JSONEq(t, `{"received":2,"acked":2,"retried":0,"rejected":0,"duplicates":1}`, string(out))
	effects, err := os.ReadFile(filepath.Join(dir, "effects"))
	require.NoError(t, err)
	require.Equal(t, "Hello, World! issues 72d3162e-cc78-11e3-81ab-4c9367dc0958\n", string(effects))
}

// With several senders each has its path only.
func TestIngestOfSeveralSenders(t *testing.T) {
	t.Parallel()
	url, _, log, stop := ingest(t, "--github-secret-env", "GITHUB_SECRET", "--stripe-secret-env", "STRIPE_SECRET")
	require.Equal(t, 202, deliver(t, url+"/github", "Hello, World!", hello))
	require.Equal(t, 401, deliver(t, url+"/stripe", "Hello, World!", hello))
	require.Equal(t, 404, deliver(t, url+"/", "Hello, World!", hello))
	require.NoError(t, stop(), log())
}
