package main

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/jpeg"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/admin"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/all"
	"github.com/sluice-go/sluice/drivers/provision"
	"github.com/sluice-go/sluice/drivers/pubsub/pubsubtest"
	"github.com/sluice-go/sluice/drivers/sqs/sqstest"
	"github.com/sluice-go/sluice/examples/thumbnails/thumbnail"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/test/testserver"
)

// TestMain has the program leave its files where they are removed in the end.
func TestMain(m *testing.M) { os.Exit(inTemporaryFolder(m.Run)) }

func inTemporaryFolder(run func() int) int {
	dir, err := os.MkdirTemp("", "thumbnails-test-")
	if err == nil {
		err = os.Setenv("TMPDIR", dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	return run()
}

// program runs the program as a user does, and returns what it prints.
func program(t *testing.T, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	require.NoError(t, run(t.Context(), args, &stdout, &stderr), stderr.String())
	require.Empty(t, stderr.String())
	return stdout.String()
}

// line is what a summary says after a heading.
func line(t *testing.T, output, heading string) string {
	t.Helper()
	for l := range strings.Lines(output) {
		if rest, ok := strings.CutPrefix(l, heading+" "); ok {
			return strings.TrimSpace(rest)
		}
	}
	t.Fatalf("there is no %q in:\n%s", heading, output)
	return ""
}

// files are the paths below dir, with what they hold.
func files(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	out := make(map[string][]byte)
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		require.NoError(t, err)
		out[name], err = os.ReadFile(path)
		return err
	}))
	return out
}

// check checks a summary of the program's own images.
func check(t *testing.T, output string) {
	t.Helper()
	require.Contains(t, output, "14/14 events, 11 thumbnails, 0 retried, 3 dead-lettered\n")
	require.Equal(t, "11", line(t, output, "handled"))
	require.Equal(t, "0", line(t, output, "retried"))
	require.True(t, strings.HasPrefix(line(t, output, "dead-lettered"), "3, to "))
	for _, reason := range []string{
		"- truncated.jpg: the jpeg is broken", "- notes.png: not an image that can be read", "- bomb.png: the png is too large",
	} {
		require.Contains(t, output, reason)
	}
}

func TestNoArgumentsShowTheWhole(t *testing.T) {
	t.Parallel()
	output := program(t)
	check(t, output)

	written := line(t, output, "thumbnails")
	require.Contains(t, written, "11 written, 0 were there, in ")
	_, out, _ := strings.Cut(written, " in ")
	made := files(t, out)
	require.Len(t, made, 11)
	for name, content := range made {
		require.Contains(t, output, "- "+name+"\n")
		c, _, err := image.DecodeConfig(bytes.NewReader(content))
		require.NoError(t, err, name)
		require.LessOrEqual(t, max(c.Width, c.Height), thumbnail.DefaultSize)
	}

	// The poison is in the queue that the summary names, with its reasons.
	source, err := all.Mux().OpenSource(t.Context(), line(t, output, "queue"), nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, source.Close()) }()
	letters, err := source.(drivers.Inspector).Peek(t.Context(), 10, true)
	require.NoError(t, err)
	require.Len(t, letters, 3)
	for _, m := range letters {
		f, ok := drivers.ParseFailure(m.Attributes)
		require.True(t, ok)
		objects, err := thumbnail.ParseEvent(m)
		require.NoError(t, err)
		require.Contains(t, f.Reason, objects[0].Key)
		require.Contains(t, output, strings.TrimPrefix(f.Reason, "rejected: "))
	}

	// The commands that the summary gives next do as it says.
	_, next, _ := strings.Cut(output, "\nnext ")
	commands := regexp.MustCompile("go run .*").FindAllString(next, -1)
	require.Len(t, commands, 3)
	for i, shows := range []string{"\nreason ", "brought 3 dead letters of thumbnails back", "0 retried, 6 dead-lettered"} {
		run := exec.CommandContext(t.Context(), "sh", "-c", commands[i])
		run.Dir = filepath.Join("..", "..")
		shown, err := run.CombinedOutput()
		require.NoError(t, err, "%s", shown)
		require.Contains(t, string(shown), shows)
	}
}

// The same handler on each provider, by the queue's URL alone, and with events
// of each shape: the same thumbnails.
func TestAnyQueueAndEitherShapeMakeTheSame(t *testing.T) {
	testserver.Credentials(t)
	sqs, err := sqstest.NewServer(nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, sqs.Close()) })
	sqsURL := "awssqs:///images?endpoint=" + sqs.URL()
	_, err = admin.Apply(t.Context(), all.Mux(), admin.Target{URL: sqsURL, Spec: &provision.Spec{
		Name: "images", VisibilityTimeout: 30 * time.Second, DeadLetter: &provision.DeadLetter{},
	}}, false)
	require.NoError(t, err)

	pubsub, err := pubsubtest.Start("")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, pubsub.Close()) })
	t.Setenv("PUBSUB_EMULATOR_HOST", pubsub.Addr())
	require.NoError(t, pubsub.Create(t.Context(), pubsubtest.Queue{Project: "p", ID: "images", MaxAttempts: 5}))

	var want map[string][]byte
	for _, args := range [][]string{
		{"-events", "s3"},
		{"-events", "gcs"},
		{"-queue", sqsURL},
		{"-queue", "gcppubsub://projects/p/subscriptions/images"},
	} {
		out := t.TempDir()
		check(t, program(t, append(args, "-out", out, "-concurrency", "4")...))
		got := files(t, out)
		require.Len(t, got, 11)
		if want == nil {
			want = got
		}
		require.Equal(t, want, got, args)
	}
}

func TestTwiceIsAsOnce(t *testing.T) {
	t.Parallel()
	in, out := t.TempDir(), t.TempDir()
	var b bytes.Buffer
	require.NoError(t, jpeg.Encode(&b, image.NewGray(image.Rect(0, 0, 40, 20)), nil))
	require.NoError(t, os.MkdirAll(filepath.Join(in, "a b"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(in, "a b", "grey + 100%.jpg"), b.Bytes(), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(in, "plain.jpg"), b.Bytes(), 0o600))

	args := []string{"-in", in, "-out", "file://" + out, "-size", "16"}
	first := program(t, args...)
	require.Contains(t, line(t, first, "thumbnails"), "2 written, 0 were there")
	before := files(t, out)
	require.Len(t, before, 2)
	for _, content := range before {
		c, _, err := image.DecodeConfig(bytes.NewReader(content))
		require.NoError(t, err)
		require.Equal(t, [2]int{16, 8}, [2]int{c.Width, c.Height})
	}
	second := program(t, args...)
	require.Equal(t, "2", line(t, second, "handled"))
	require.Contains(t, line(t, second, "thumbnails"), "0 written, 2 were there")
	require.Equal(t, before, files(t, out))
}

func TestFaultsOfUsage(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"-bogus"}, {"extra"}, {"-events", "azure"}, {"-concurrency", "0"}, {"-size", "0"}, {"-worker"}, {"-worker", "-queue", "mem://x"},
	} {
		var stderr bytes.Buffer
		require.ErrorIs(t, run(t.Context(), args, io.Discard, &stderr), errUsage, args)
		require.Contains(t, stderr.String(), "-queue", "the flags are shown")
	}
	require.Error(t, run(t.Context(), []string{"-in", filepath.Join(t.TempDir(), "nowhere")}, io.Discard, io.Discard))
	require.ErrorContains(t, run(t.Context(), []string{"-queue", "awsqs:///x"}, io.Discard, io.Discard), `did you mean "awssqs"`)
	require.Error(t, run(t.Context(), []string{"-out", "nosuch://x"}, io.Discard, io.Discard))
}

func TestVerboseLogsEveryMessage(t *testing.T) {
	t.Parallel()
	in := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(in, "x.txt"), []byte("no image"), 0o600))
	var stdout, stderr bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"-v", "-in", in}, &stdout, &stderr))
	require.Contains(t, stderr.String(), "verdict=dead_letter")
}

// A worker handles what the store sends, until it receives a signal.
func TestWorker(t *testing.T) {
	t.Parallel()
	in, out := filepath.Join(t.TempDir(), "photos"), t.TempDir()
	require.NoError(t, unpack(in))
	queue := "sqlite://" + t.TempDir() + "/queue.db?queue=photos"
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var stdout bytes.Buffer
	done := make(chan error, 1)
	go func() {
		done <- run(ctx, []string{"-worker", "-queue", queue, "-in", in, "-out", out}, &stdout, io.Discard)
	}()

	sink, err := all.Mux().OpenSink(t.Context(), queue, nil)
	require.NoError(t, err)
	m, err := thumbnail.StorageEvent(thumbnail.Object{Bucket: "photos", Key: "holidays/beach 1+1 (100%).jpg"})
	require.NoError(t, err)
	require.Nil(t, sink.Send(t.Context(), []*handler.Message{m}))
	require.NoError(t, sink.Close())
	require.Eventually(t, func() bool { return len(files(t, out)) == 1 }, 30*time.Second, 20*time.Millisecond)
	stop()
	require.NoError(t, <-done)
	require.Equal(t, "1", line(t, stdout.String(), "handled"))
}
