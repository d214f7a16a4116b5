package iam_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	_ "gocloud.dev/blob/gcsblob" // as the tag sluice_gcs links it
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/sluice-go/sluice/cmd/sluice/internal/cli"
	"github.com/sluice-go/sluice/cmd/sluice/internal/iam"
	"github.com/sluice-go/sluice/cmd/sluice/internal/scaler/externalscaler"
	"github.com/sluice-go/sluice/drivers/all"
	"github.com/sluice-go/sluice/drivers/pubsub/pubsubtest"
	"github.com/sluice-go/sluice/drivers/sqs/sqstest"
	"github.com/sluice-go/sluice/internal/test/output"
	"github.com/sluice-go/sluice/internal/test/testserver"
)

const patience = 60 * time.Second

// A desk runs commands on one cloud.
type desk struct {
	*calls
	dir    string
	urls   string // of the queue, in the configuration
	bucket string // its URL
	store  *objects
	cloud  iam.Cloud

	purposes map[iam.Purpose][]string // the calls of each
	commands map[string][]string
}

// note keeps the calls of a command that has ended.
func (d *desk) note(t *testing.T, args []string) {
	t.Helper()
	seen := d.take()
	c, ok := iam.CommandNamed(args[0])
	require.True(t, ok, args[0])
	d.commands[c.Name] = append(d.commands[c.Name], seen...)
	served := c.Purposes
	switch {
	case c.Name == "peek" && slices.Contains(args, "--dead"):
		served = []iam.Purpose{iam.Letters}
	case slices.Contains(args, "--write"): // of the console
		served = nil
		for _, call := range seen {
			require.Contains(t, append(iam.Recordable(d.cloud, iam.Console), iam.Recordable(d.cloud, iam.Redrive)...), call, "%v", args)
		}
	case len(served) == 0:
		require.Empty(t, seen, "%v calls no provider", args)
	}
	for _, p := range served {
		d.purposes[p] = append(d.purposes[p], seen...)
	}
}

// write writes the configuration, with settings of the queue in addition.
func (d *desk) write(t *testing.T, more string) {
	t.Helper()
	text := "queues:\n  orders:\n" + d.urls + more
	require.NoError(t, os.WriteFile(filepath.Join(d.dir, "sluice.yaml"), []byte(text), 0o600))
}

// run runs a command, which must end with one of the given exit statuses.
func (d *desk) run(t *testing.T, codes []int, args ...string) string {
	t.Helper()
	var out output.Buffer
	code := cli.Main(cli.Program{
		Args: append([]string{"--config", filepath.Join(d.dir, "sluice.yaml")}, args...), Stdin: strings.NewReader(""),
		Stdout: &out, Stderr: &out, Mux: all.Mux(), Signals: make(chan os.Signal),
	})
	require.Contains(t, codes, code, "sluice %s: %s", strings.Join(args, " "), out.String())
	d.note(t, args)
	return out.String()
}

// interrupt runs a command until ready returns true, and interrupts it.
func (d *desk) interrupt(t *testing.T, ready func(log string) bool, args ...string) {
	t.Helper()
	out := &output.Buffer{}
	signals := make(chan os.Signal, 1)
	ended := make(chan int, 1)
	go func() {
		ended <- cli.Main(cli.Program{
			Args: append([]string{"--config", filepath.Join(d.dir, "sluice.yaml")}, args...), Stdin: strings.NewReader(""),
			Stdout: out, Stderr: out, Mux: all.Mux(), Signals: signals,
		})
	}()
	require.Eventually(t, func() bool { return ready(out.String()) }, patience, 20*time.Millisecond, out)
	signals <- os.Interrupt
	<-ended
	d.note(t, args)
}

// work consumes the queue with a handler that acks, retries and rejects, and scrapes its
// metrics while messages are in flight.
func (d *desk) work(t *testing.T) {
	t.Helper()
	script := filepath.Join(d.dir, "handle")
	require.NoError(t, os.WriteFile(script, []byte(`#!/bin/sh
read -r body
case $body in
reject*) exit 65 ;;
retry) [ "$SLUICE_ATTEMPT" -gt 2 ] || exit 75 ;;
slow) sleep 3 ;;
esac
`), 0o700)) //nolint:gosec // it is run
	admin := regexp.MustCompile(`admin=(\S+)`)
	scraped := false
	d.interrupt(t, func(log string) bool {
		if m := admin.FindStringSubmatch(log); m != nil && !scraped {
			scraped = strings.Contains(get(t, m[1]+"/metrics"), `sluice_state="in_flight"`)
		}
		return scraped && strings.Contains(get(t, admin.FindStringSubmatch(log)[1]+"/metrics"), `sluice_verdict="ack"} 4`) &&
			strings.Contains(get(t, admin.FindStringSubmatch(log)[1]+"/metrics"), `sluice_verdict="dead_letter"} 8`)
	}, "run", "orders", "--exec", script, "--concurrency", "8", "--heartbeat", "--backoff", "1s..1s", "--metrics", "0", "--claim-check", d.bucket)
}

func get(t *testing.T, url string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return string(raw)
}

// browse looks at every page of the console, and has it examine the queue. With write it
// has it read the dead letters, too.
func (d *desk) browse(t *testing.T, write ...string) {
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	client := &http.Client{Jar: jar}
	page := func(method, url string, form url.Values) string {
		req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(form.Encode()))
		require.NoError(t, err)
		if form != nil {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			req.Header.Set("Origin", url[:strings.LastIndexByte(url, '/')])
		}
		resp, err := client.Do(req)
		require.NoError(t, err)
		defer resp.Body.Close()
		raw, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, resp.StatusCode, "%s: %s", url, raw)
		return string(raw)
	}
	address := regexp.MustCompile(`http://127\.0\.0\.1:\d+`)
	token := regexp.MustCompile(`name="csrf" value="([^"]+)"`)
	done := false
	d.interrupt(t, func(log string) bool {
		at := address.FindString(log)
		if at == "" || done {
			return done
		}
		page(http.MethodGet, at+"/", nil)
		page(http.MethodGet, at+"/queues/orders", nil)
		form := token.FindStringSubmatch(page(http.MethodGet, at+"/doctor", nil))
		require.NotNil(t, form, "the page of findings has a form")
		page(http.MethodPost, at+"/doctor", url.Values{"csrf": {form[1]}})
		if len(write) > 0 {
			form = token.FindStringSubmatch(page(http.MethodGet, at+"/queues/orders/letters", nil))
			require.NotNil(t, form, "the page of letters has a form")
			page(http.MethodPost, at+"/queues/orders/letters", url.Values{"csrf": {form[1]}, "most": {"100"}})
		}
		done = true
		return false // a poll later, when the background has counted
	}, append([]string{"console", "orders", "--listen", "127.0.0.1:0"}, write...)...)
}

// recorded runs every command. It interrupts a redrive when begun returns true.
func (d *desk) recorded(t *testing.T, changed string, begun func(log string) bool) {
	t.Helper()
	d.purposes, d.commands = make(map[iam.Purpose][]string), make(map[string][]string)
	ok := []int{cli.ExitDone}
	d.run(t, []int{cli.ExitFindings}, "plan")
	d.run(t, ok, "apply")
	d.write(t, changed)
	d.run(t, []int{cli.ExitFindings}, "plan")
	d.run(t, ok, "apply")
	for _, body := range []string{"ack", "retry", "slow", "reject 1", "reject 2", "reject 3", "reject 4", "reject 5", "reject 6"} {
		d.run(t, ok, "send", "orders", "--body", body, "--attr", "kind="+strings.ReplaceAll(body, " ", ""))
	}
	d.send(t, "ack", "large")
	d.run(t, ok, "peek", "orders", "-n", "100", "--claim-check", d.bucket)
	d.send(t, "reject", "rejected")
	before := d.store.keys()
	d.send(t, "ack", "lost")
	d.store.lose(before) // the newest
	d.work(t)
	d.run(t, ok, "depth", "orders")
	d.scale(t)
	d.run(t, []int{cli.ExitFindings}, "doctor")
	d.letters(t)
	d.run(t, ok, "redrive", "orders", "--attr", "kind=none")
	d.run(t, ok, "redrive", "orders", "--max", "1")
	d.run(t, []int{cli.ExitFailed}, "redrive", "orders", "--canary", "1", "--canary-wait", "2s") // nobody handles it
	d.run(t, ok, "redrive", "orders", "--from", d.bucket)
	d.edit(t)
	d.interrupt(t, begun, "redrive", "orders", "--rate", "1")
	d.browse(t)
	d.browse(t, "--write")
	d.run(t, ok, "purge", "orders", "--yes")
	d.run(t, ok, "purge", "orders", "--dead", "--yes")
	d.aside(t)
	d.ingest(t)
	d.run(t, ok, "iam", "orders", "--for", "run")
}

// send sends a message whose body is too large for a queue.
func (d *desk) send(t *testing.T, verdict, kind string) {
	t.Helper()
	file := filepath.Join(d.dir, kind)
	require.NoError(t, os.WriteFile(file, []byte(verdict+"\n"+strings.Repeat("x", 1<<20)), 0o600))
	d.run(t, []int{cli.ExitDone}, "send", "orders", "--file", file, "--attr", "kind="+kind, "--claim-check", d.bucket)
}

// letters runs the commands that look at letters and take them elsewhere.
func (d *desk) letters(t *testing.T) {
	t.Helper()
	ok := []int{cli.ExitDone}
	d.run(t, ok, "letters", "orders")
	d.run(t, ok, "peek", "orders", "--dead", "--attr", "kind=rejected", "--claim-check", d.bucket)
	d.run(t, ok, "export", "orders", "--to", d.bucket, "--attr", "kind=reject1")
	d.run(t, ok, "discard", "orders", "--attr", "kind=reject6", "--yes")
	d.run(t, ok, "archive", "orders", d.bucket, "--attr", "kind=reject2")
	d.run(t, ok, "import", "orders", "--from", d.bucket)
}

// edit changes a letter.
func (d *desk) edit(t *testing.T) {
	t.Helper()
	out := d.run(t, []int{cli.ExitDone}, "letters", "orders", "-v", "-o", "json", "--log-level", "error")
	id := regexp.MustCompile(`"id":"([^"]+)"`).FindStringSubmatch(out)
	require.NotNil(t, id, out)
	file := filepath.Join(d.dir, "edited.json")
	require.NoError(t, os.WriteFile(file, []byte(`{"attributes":{},"body":"changed"}`), 0o600))
	d.run(t, []int{cli.ExitDone}, "edit", "orders", "--id", id[1], "--file", file)
}

// scale asks the scaler as KEDA does.
func (d *desk) scale(t *testing.T) {
	t.Helper()
	address := regexp.MustCompile(`addr=(\S+)`)
	d.interrupt(t, func(log string) bool {
		at := address.FindStringSubmatch(log)
		if at == nil {
			return false
		}
		conn, err := grpc.NewClient(at[1], grpc.WithTransportCredentials(insecure.NewCredentials()))
		require.NoError(t, err)
		_, err = externalscaler.NewExternalScalerClient(conn).IsActive(t.Context(), &externalscaler.ScaledObjectRef{
			ScalerMetadata: map[string]string{"queue": "orders", "messagesPerSecond": "1"},
		})
		require.NoError(t, err)
		require.NoError(t, conn.Close())
		return true
	}, "scaler", "orders", "--listen", "127.0.0.1:0")
}

// aside runs the commands that call no provider, and the relay.
func (d *desk) aside(t *testing.T) {
	t.Helper()
	ok := []int{cli.ExitDone}
	d.write(t, `
service: {control: "sqlite://`+filepath.Join(d.dir, "control.db")+`"}
delay_store: sqlite://`+filepath.Join(d.dir, "box.db")+`
schedules:
  tick: {every: 1s, queue: orders, body: ack}
`)
	for _, args := range [][]string{
		{"outbox", "--migrate"}, {"pause", "orders"}, {"pause"}, {"limit", "orders", "--rate", "5/s"}, {"resume", "orders"},
		{"schedules"}, {"schedules", "run", "tick"}, {"outbox"}, {"outbox", "--rows"}, {"config"}, {"version"},
	} {
		d.run(t, ok, args...)
	}
	d.interrupt(t, func(string) bool { return d.sent() }, "relay")
	d.write(t, "")
}

// ingest takes a webhook.
func (d *desk) ingest(t *testing.T) {
	t.Helper()
	t.Setenv("HOOK_SECRET", "secret")
	address := regexp.MustCompile(`http://127\.0\.0\.1:\d+`)
	d.interrupt(t, func(log string) bool {
		at := address.FindString(log)
		if at == "" {
			return false
		}
		body := []byte(`{"action":"opened"}`)
		mac := hmac.New(sha256.New, []byte("secret"))
		_, _ = mac.Write(body)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, at+"/", bytes.NewReader(body))
		require.NoError(t, err)
		req.Header.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)))
		req.Header.Set("X-GitHub-Delivery", "1")
		req.Header.Set("X-GitHub-Event", "issues")
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Less(t, resp.StatusCode, 300)
		return true
	}, "ingest", "127.0.0.1:0", "orders", "--github-secret-env", "HOOK_SECRET")
}

// compare holds the calls that were recorded against the table, both ways.
func (d *desk) compare(t *testing.T) {
	t.Helper()
	for _, p := range iam.Purposes() {
		t.Run(string(p), func(t *testing.T) {
			require.ElementsMatch(t, iam.Recordable(d.cloud, p), unique(d.purposes[p]))
		})
	}
	for _, c := range iam.Commands() {
		if len(c.Purposes) > 0 {
			require.NotEmpty(t, d.commands[c.Name], "sluice %s was not recorded", c.Name)
		}
	}
}

func unique(ss []string) []string {
	seen := make(map[string]bool)
	var out []string
	for _, s := range ss {
		if !seen[s] {
			out = append(out, s)
		}
		seen[s] = true
	}
	return out
}

func TestCallsToAWS(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the handler is a shell script")
	}
	testserver.Credentials(t)
	s, err := sqstest.NewServer(&sqstest.Config{PurgeInterval: -1})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	c, endpoint := onAWS(t, s.URL())
	t.Setenv("AWS_ENDPOINT_URL", endpoint)
	store := newObjects(t, c)
	t.Setenv("AWS_ENDPOINT_URL_S3", store.url)
	d := &desk{
		calls: c, dir: t.TempDir(), urls: "    url: awssqs:///orders\n    dead_letter: {max_attempts: 5}\n",
		bucket: "s3://bodies?region=us-east-1&use_path_style=true&prefix=in/", store: store, cloud: iam.AWS,
	}
	d.write(t, "    tags: {team: a}\n    alarms: {dead_letters: 1}\n")
	d.recorded(t, "    visibility_timeout: 40s\n    tags: {team: b}\n    alarms: {dead_letters: 1}\n", func(string) bool {
		return c.has("sqs:ListMessageMoveTasks on dead letters")
	})
	d.write(t, "    tags: {team: b}\n    alarms: {dead_letters: 1}\n")
	d.compare(t)
	for _, p := range iam.Purposes() {
		require.Equal(t, permitted(unique(d.purposes[p])), d.policy(t, p), "the policy that is printed for %s", p)
	}
}

// permitted are the actions of AWS that recorded calls need, each on its resource. A batch
// needs the right of one, and a task that moves messages the rights of what it does.
func permitted(recorded []string) []string {
	var out []string
	for _, call := range recorded {
		action, on, _ := strings.Cut(strings.Replace(call, "Batch on ", " on ", 1), " on ")
		resource := map[string]string{
			"queue": "arn:aws:sqs:*:*:orders", "dead letters": "arn:aws:sqs:*:*:orders-dlq", "account": "*",
			"objects": "arn:aws:s3:::bodies/in/*", "bucket": "arn:aws:s3:::bodies", "bucket's prefix": "arn:aws:s3:::bodies with in/",
		}[on]
		if action == "cloudwatch:PutMetricAlarm" {
			resource = "arn:aws:cloudwatch:*:*:alarm:sluice-orders-*"
		}
		switch action {
		case "s3:ListObjectsV2":
			action = "s3:ListBucket"
		case "s3:PutObject": // what an upload in parts needs besides
			out = append(out, "s3:AbortMultipartUpload "+resource)
		}
		out = append(out, action+" "+resource)
		if action == "sqs:StartMessageMoveTask" {
			out = append(out, "sqs:ReceiveMessage "+resource, "sqs:DeleteMessage "+resource, "sqs:GetQueueAttributes "+resource, "sqs:SendMessage "+strings.TrimSuffix(resource, "-dlq"))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// policy returns the actions of the policy that is printed, each with its resource.
func (d *desk) policy(t *testing.T, p iam.Purpose) []string {
	t.Helper()
	var policy struct {
		Statement []struct {
			Action, Resource []string
			Condition        map[string]map[string]string
		}
	}
	require.NoError(t, json.Unmarshal([]byte(d.run(t, []int{cli.ExitDone}, "iam", "orders", "--for", string(p), "--bucket", d.bucket, "-o", "json")), &policy))
	var out []string
	for _, s := range policy.Statement {
		for _, action := range s.Action {
			for _, resource := range s.Resource {
				if prefix, ok := s.Condition["StringEquals"]["s3:prefix"]; ok {
					resource += " with " + prefix
				}
				out = append(out, action+" "+resource)
			}
		}
	}
	slices.Sort(out)
	return out
}

func TestCallsToGCP(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the handler is a shell script")
	}
	s, err := pubsubtest.Start("")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	c, addr := onGCP(t, s.Addr())
	t.Setenv("PUBSUB_EMULATOR_HOST", addr)
	store := newObjects(t, c)
	t.Setenv("STORAGE_EMULATOR_HOST", strings.TrimPrefix(store.url, "http://"))
	d := &desk{
		calls: c, dir: t.TempDir(), urls: "    url: gcppubsub://projects/test/subscriptions/orders?project_number=1\n    dead_letter: {max_attempts: 5}\n",
		bucket: "gs://bodies?prefix=in/", store: store, cloud: iam.GCP,
	}
	d.write(t, "    alarms: {dead_letters: 1}\n")
	d.recorded(t, "    visibility_timeout: 40s\n    tags: {team: b}\n    alarms: {dead_letters: 1}\n", func(string) bool {
		return c.has("Publisher.Publish on topic")
	})
	d.compare(t)
}
