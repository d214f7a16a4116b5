package sqslambda_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/consumer/sqslambda"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/sqs"
	"github.com/sluice-go/sluice/drivers/sqs/sqstest"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/sleep"
	"github.com/sluice-go/sluice/internal/test/lambdatest"
	"github.com/sluice-go/sluice/internal/test/suite"
)

// The environment of the function's process.
const (
	envQueue   = "SQSLAMBDA_QUEUE"   // its URL; that it is set makes the process a function
	envEffects = "SQSLAMBDA_EFFECTS" // the file for the effects
	envWhole   = "SQSLAMBDA_WHOLE"
)

func TestMain(m *testing.M) {
	if queue := os.Getenv(envQueue); queue != "" {
		if err := function(queue); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(suite.Run(m))
}

// function is the main of the function's process, which is a Lambda function like
// any other.
func function(queue string) error {
	file, err := os.OpenFile(os.Getenv(envEffects), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	source, err := drivers.NewMux(&sqs.Opener{}).OpenSource(context.Background(), queue, &drivers.Options{Logger: log})
	if err != nil {
		return err
	}
	fn, err := sqslambda.New(source, effects(file), &sqslambda.Config{Logger: log, WholeBatch: os.Getenv(envWhole) != ""})
	if err != nil {
		return err
	}
	lambda.Start(fn.Handle) // does not return
	return nil
}

// effects writes down when the handling of a message begins and when it is done.
// A line is one write, so that a kill leaves whole lines. The message's body says what happens to
// it.
func effects(file *os.File) handler.HandlerFunc {
	line := func(what string, m *handler.Message) error {
		_, err := fmt.Fprintf(file, "%s %s\n", what, m.Body)
		return err
	}
	var seen sync.Map
	return func(ctx context.Context, m *handler.Message) error {
		if err := line("begin", m); err != nil {
			return err
		}
		_, again := seen.LoadOrStore(m.ID, true)
		kind, _, _ := strings.Cut(string(m.Body), "-")
		switch {
		case kind == "reject":
			return handler.Reject(errors.New("as it says"))
		case kind == "retry" && m.Attempt == 1:
			return handler.RetryAfter(0, errors.New("once"))
		case kind == "error" && m.Attempt == 1:
			return errors.New("once")
		case kind == "fail" && !again: // whichever attempt it is
			return errors.New("once in each process")
		case kind == "panic" && m.Attempt == 1:
			panic("once")
		case kind == "stuck" && m.Attempt == 1:
			<-make(chan struct{})
		case kind == "slow":
			_ = sleep.For(ctx, 20*time.Millisecond)
		}
		return line("end", m)
	}
}

// A loop is SQS, an event source mapping and the function's execution
// environments.
type loop struct {
	t       *testing.T
	server  *sqstest.Server
	client  *awssqs.Client
	mapping *lambdatest.Mapping
	source  *sqs.Source
	effects string
	sink    *sqs.Sink
	command func() *exec.Cmd
	timeout time.Duration
}

type loopOptions struct {
	fifo, whole bool
	visibility  int // seconds
	timeout     time.Duration
}

func newLoop(t *testing.T, o loopOptions) *loop {
	t.Helper()
	server, err := sqstest.NewServer(nil)
	require.NoError(t, err)
	t.Cleanup(func() { server.Close() })
	l := &loop{t: t, server: server, timeout: o.timeout, effects: filepath.Join(t.TempDir(), "effects"), client: awssqs.New(awssqs.Options{
		BaseEndpoint: aws.String(server.URL()), HTTPClient: sqs.HTTPClient(), Region: sqstest.DefaultRegion,
		Credentials: credentials.NewStaticCredentialsProvider("any", "thing", ""),
	})}
	name, dlq, attributes, letters := "orders", "orders-dlq", map[string]string{}, map[string]string{}
	if o.fifo {
		name, dlq = name+".fifo", dlq+".fifo"
		attributes["FifoQueue"], letters["FifoQueue"] = "true", "true"
	}
	attributes["VisibilityTimeout"] = strconv.Itoa(o.visibility)
	attributes["RedrivePolicy"] = fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":500}`, server.QueueARN(dlq))
	for _, q := range []struct {
		name string
		as   map[string]string
	}{{dlq, letters}, {name, attributes}} {
		_, err := l.client.CreateQueue(t.Context(), &awssqs.CreateQueueInput{QueueName: &q.name, Attributes: q.as})
		require.NoError(t, err)
	}
	l.source, err = sqs.NewSource(t.Context(), l.client, server.QueueURL(name), nil)
	require.NoError(t, err)
	l.sink, err = sqs.NewSink(t.Context(), l.client, server.QueueURL(name))
	require.NoError(t, err)
	l.mapping = &lambdatest.Mapping{
		Client: l.client, QueueURL: server.QueueURL(name), QueueARN: server.QueueARN(name), ReportBatchItemFailures: !o.whole,
	}
	output, err := os.Create(filepath.Join(t.TempDir(), "output"))
	require.NoError(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			said, err := os.ReadFile(output.Name())
			t.Logf("the function's output ends with: %s %v", said[max(0, len(said)-4000):], err)
		}
		output.Close()
	})
	l.command = func() *exec.Cmd {
		cmd := exec.Command(os.Args[0], "-test.run=^$") //nolint:noctx // the environment ends it
		cmd.Env = append(os.Environ(), server.Env()...)
		cmd.Env = append(cmd.Env, envQueue+"=awssqs:///"+name, envEffects+"="+l.effects)
		if o.whole {
			cmd.Env = append(cmd.Env, envWhole+"=1")
		}
		cmd.Stdout, cmd.Stderr = output, output
		return cmd
	}
	return l
}

// environment returns an environment whose process has started: the leases of messages do
// not wait for that.
func (l *loop) environment() *lambdatest.Environment {
	l.t.Helper()
	e, err := lambdatest.New(lambdatest.Config{Command: l.command, Timeout: l.timeout})
	require.NoError(l.t, err)
	l.t.Cleanup(e.Close)
	_, err = e.Invoke(l.t.Context(), []byte(`{"Records":[]}`))
	require.NoError(l.t, err)
	return e
}

func (l *loop) send(bodies []string, group func(int) string) {
	l.t.Helper()
	for i, body := range bodies {
		m := message(body, "")
		if group != nil {
			m.Group = group(i)
		}
		require.Empty(l.t, l.sink.Send(l.t.Context(), []*handler.Message{m}))
	}
}

// run has the pollers work until the queue is empty.
func (l *loop) run(environments ...*lambdatest.Environment) {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), 3*time.Minute)
	defer cancel()
	var pollers sync.WaitGroup
	for _, e := range environments {
		pollers.Go(func() {
			if err := l.mapping.Run(ctx, e.Invoke); err != nil {
				l.t.Errorf("the mapping: %v", err)
				cancel()
			}
		})
	}
	for {
		d, err := l.source.Depth(ctx)
		require.NoError(l.t, err, "the queue was not emptied")
		if d.Visible+d.InFlight+d.Delayed == 0 {
			break
		}
		_ = sleep.For(ctx, 50*time.Millisecond)
	}
	cancel()
	pollers.Wait()
}

// lines are the bodies of the lines of the effects' file that say what, in order.
func (l *loop) lines(what string) []string {
	l.t.Helper()
	data, err := os.ReadFile(l.effects)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	require.NoError(l.t, err)
	var out []string
	for line := range strings.Lines(string(data)) {
		if body, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), what+" "); ok {
			out = append(out, body)
		}
	}
	return out
}

func tally(bodies []string) map[string]int {
	out := map[string]int{}
	for _, b := range bodies {
		out[b]++
	}
	return out
}

func numbered(n int, kinds ...string) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("%s-%03d", kinds[i%len(kinds)], i)
	}
	return out
}

// TestTheLoop has a queue of messages of all kinds handled by the function in two
// execution environments: each effect once.
func TestTheLoop(t *testing.T) {
	t.Parallel()
	l := newLoop(t, loopOptions{visibility: 5, timeout: 20 * time.Second})
	bodies := numbered(120, "ok", "retry", "reject", "ok", "error", "panic")
	l.send(bodies, nil)
	one, two := l.environment(), l.environment()
	l.run(one, two)

	want := map[string]int{}
	rejected := 0
	for _, b := range bodies {
		if strings.HasPrefix(b, "reject") {
			rejected++
		} else {
			want[b] = 1
		}
	}
	require.Equal(t, want, tally(l.lines("end")))
	d, err := l.source.Depth(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, rejected, d.DeadLetters)
	n := l.mapping.Numbers()
	require.Zero(t, n.Nonsense, "a response named what it must not")
	require.Zero(t, n.Failed)
	require.Equal(t, 60, n.Left, "20 retries, 20 errors and 20 panics")
	require.Equal(t, 2, one.Starts()+two.Starts(), "a panic does not end the process")
}

// TestTheLoopOnAFIFOQueue has failures within groups: each group's effects are in
// the order of its messages.
func TestTheLoopOnAFIFOQueue(t *testing.T) {
	t.Parallel()
	l := newLoop(t, loopOptions{fifo: true, visibility: 3, timeout: 20 * time.Second})
	bodies := numbered(60, "ok", "retry", "ok", "ok", "reject", "ok", "fail")
	group := func(i int) string { return fmt.Sprintf("group-%d", i%5) }
	l.send(bodies, group)
	l.run(l.environment(), l.environment())

	want, got := map[string][]string{}, map[string][]string{}
	for i, b := range bodies {
		if !strings.HasPrefix(b, "reject") {
			want[group(i)] = append(want[group(i)], b)
		}
	}
	for _, b := range l.lines("end") {
		_, number, _ := strings.Cut(b, "-")
		i, err := strconv.Atoi(number)
		require.NoError(t, err)
		got[group(i)] = append(got[group(i)], b)
	}
	require.Equal(t, want, got)
	begun := tally(l.lines("begin"))
	for _, b := range bodies {
		if strings.HasPrefix(b, "fail") {
			require.Greater(t, begun[b], 1, "%s has not failed", b)
		}
	}
	require.Zero(t, l.mapping.Numbers().Nonsense)
}

// TestTheLoopWithoutPartialResponses has a mapping that does not look at the
// response.
func TestTheLoopWithoutPartialResponses(t *testing.T) {
	t.Parallel()
	l := newLoop(t, loopOptions{whole: true, visibility: 3, timeout: 20 * time.Second})
	bodies := numbered(40, "ok", "ok", "ok", "error")
	l.send(bodies, nil)
	l.run(l.environment())
	want := map[string]int{}
	for _, b := range bodies {
		want[b] = 1
	}
	require.Equal(t, want, tally(l.lines("end")), "what was handled came again with what had failed")
	require.Positive(t, l.mapping.Numbers().Failed)
}

// TestTheLoopWithAHandlerThatIgnoresItsContext has the function answer in time all
// the same.
func TestTheLoopWithAHandlerThatIgnoresItsContext(t *testing.T) {
	t.Parallel()
	l := newLoop(t, loopOptions{visibility: 8, timeout: 6 * time.Second})
	l.send([]string{"ok-1", "stuck-2", "ok-3"}, nil)
	e := l.environment()
	l.run(e)
	require.Equal(t, map[string]int{"ok-1": 1, "stuck-2": 1, "ok-3": 1}, tally(l.lines("end")))
	require.Zero(t, l.mapping.Numbers().Failed, "Lambda's timeout has struck")
	require.Equal(t, 1, e.Starts())
}

// TestKilledMidBatch kills the function's process with kill -9 while it handles
// messages: nothing is lost.
func TestKilledMidBatch(t *testing.T) {
	t.Parallel()
	l := newLoop(t, loopOptions{visibility: 2, timeout: 20 * time.Second})
	const messages, kills = 60, 5
	bodies := numbered(messages, "slow")
	l.send(bodies, nil)
	e := l.environment()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	killed, inTheMiddle := 0, 0
	done := make(chan struct{})
	go func() {
		defer close(done)
		for killed < kills && ctx.Err() == nil {
			// Work has begun since the last kill.
			begun := len(l.lines("begin"))
			for len(l.lines("begin")) == begun && len(l.lines("end")) < messages && ctx.Err() == nil {
				_ = sleep.For(ctx, time.Millisecond)
			}
			if !e.Kill() {
				continue
			}
			killed++
			if len(l.lines("begin")) > len(l.lines("end")) {
				inTheMiddle++
			}
		}
	}()
	l.run(e)
	cancel()
	<-done
	n := l.mapping.Numbers()
	require.Positive(t, inTheMiddle, "no handler was killed at its work")
	require.Positive(t, n.Failed, "no invocation has failed")
	require.Greater(t, e.Starts(), 1)
	ends := tally(l.lines("end"))
	for _, b := range bodies {
		require.Positive(t, ends[b], "message %s is lost: killed %d times, %+v", b, killed, n)
	}
	require.Len(t, ends, messages)
	d, err := l.source.Depth(t.Context())
	require.NoError(t, err)
	require.Zero(t, d.DeadLetters)
	t.Logf("killed %d times, %d of them at work; %d effects of %d messages; %d invocations, %d failed", killed, inTheMiddle, len(l.lines("end")), messages, n.Invocations, n.Failed)
}
